/** Documents that a destination refused for good: look, send again, or drop. */

import { element, replace } from '../dom.js';
import { count, time } from '../format.js';
import { ask, show as showDialog } from '../parts/dialog.js';
import { createFilters } from '../parts/filters.js';
import { createPagedTable } from '../parts/paged-table.js';
import { emptyState } from '../parts/states.js';
import { toast } from '../parts/toast.js';
import { pretty } from './destinations.js';

/** @type {import('../app.js').MakeView} */
export function deadLettersView({ api }, route) {
  const filters = createFilters([{ name: 'destination', label: 'Destination', hint: 'Name' }], route.query, () => void list.reload());
  /** @param {any} letter */
  const buttons = (letter) => rowButtons(letter, { show: () => void showLetter(api, letter), replay: () => void act('replay', letter.destination, [letter.number]), drop: () => void act('drop', letter.destination, [letter.number]) });
  const list = createPagedTable({
    api,
    path: 'dead-letters',
    items: 'dead_letters',
    what: 'dead letters',
    query: () => ({ ...filters.values }),
    empty: () => emptyState('No dead letters', 'Every document was delivered or still waits. What a destination refuses for good is kept here.'),
    table: { columns: [...COLUMNS, { name: 'Actions', cell: buttons, className: 'row-actions' }], id: (letter) => `${letter.destination}/${letter.number}` },
  });
  const all = element('div', { class: 'actions' });
  const reload = async () => {
    await list.reload();
    showAll();
  };
  // All at once only for one destination: the API wants its name.
  function showAll() {
    const { destination } = filters.values;
    const offered = destination && list.table.size > 0;
    replace(all, offered ? [element('button', { type: 'button', click: () => void act('replay', destination) }, 'Send all again'), element('button', { type: 'button', class: 'danger', click: () => void act('drop', destination) }, 'Drop all …')] : null);
  }
  /** @param {'replay' | 'drop'} what @param {string} destination @param {number[]} [numbers] */
  async function act(what, destination, numbers) {
    if (what === 'drop' && !(await confirmDrop(destination, numbers))) return;
    try {
      const answer = await api.post(`dead-letters/${what}`, { destination, numbers });
      toast(`${count(answer.count)} ${what === 'replay' ? 'on the way again' : 'dropped'}.`);
    } catch (error) {
      toast(error instanceof Error ? error.message : String(error), { tone: 'bad' });
    }
    await reload();
  }
  const heading = element('div', { class: 'heading' }, element('h1', {}, 'Dead letters'), list.summary, all);
  return { title: 'Dead letters', node: element('div', { class: 'view' }, heading, filters.form, list.region), load: reload };
}

/** @param {string} destination @param {number[]} [numbers] */
function confirmDrop(destination, numbers) {
  const what = numbers ? `Dead letter ${numbers.join(', ')} of ${destination}` : `All dead letters of ${destination}`;
  return ask({
    title: 'Drop',
    action: 'Drop for good',
    tone: 'danger',
    content: [element('p', {}, `${what} will be deleted. This cannot be undone; the destination will never hear of it.`)],
    answer: async () => true,
  });
}

/** @param {import('../api.js').Api} api @param {any} letter */
async function showLetter(api, letter) {
  try {
    const document = letter.document ?? (await findDocument(api, letter));
    showDialog(letter.event_id, [element('p', { class: 'problem' }, letter.reason), element('pre', { class: 'document', tabindex: 0 }, pretty(document ?? 'The document is not there any more.'))]);
  } catch (error) {
    toast(error instanceof Error ? error.message : String(error), { tone: 'bad' });
  }
}

/** The list gives documents only in full. @param {import('../api.js').Api} api @param {any} letter */
async function findDocument(api, letter) {
  /** @type {string | null} */
  let cursor = null;
  do {
    const page = await api.get('dead-letters', { destination: letter.destination, full: true, limit: 100, cursor });
    const found = page.dead_letters.find((/** @type {any} */ one) => one.number === letter.number);
    if (found) return found.document;
    cursor = page.next;
  } while (cursor);
  return null;
}

/** @param {any} letter @param {{show: () => void, replay: () => void, drop: () => void}} run */
function rowButtons(letter, run) {
  const hidden = () => element('span', { class: 'visually-hidden' }, ` ${letter.event_id}`);
  return [
    element('button', { type: 'button', class: 'small', click: run.show }, 'Show', hidden()),
    element('button', { type: 'button', class: 'small', click: run.replay }, 'Send again', hidden()),
    element('button', { type: 'button', class: 'small danger', click: run.drop }, 'Drop …', hidden()),
  ];
}

/** @type {import('../parts/table.js').Column<any>[]} */
const COLUMNS = [
  { name: 'Destination', cell: (letter) => letter.destination },
  { name: 'Document', cell: (letter) => element('code', {}, letter.event_id), className: 'main' },
  { name: 'Reason', cell: (letter) => letter.reason, className: 'names wide' },
  { name: 'Since', cell: (letter) => time(letter.at) },
];
