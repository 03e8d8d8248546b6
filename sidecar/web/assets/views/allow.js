/** The allow-list: what is not reported, why, and who says so. */

import { element, replace } from '../dom.js';
import { count, time } from '../format.js';
import { badge } from '../parts/badges.js';
import { emptyState, fill } from '../parts/states.js';
import { createTable } from '../parts/table.js';
import { toast } from '../parts/toast.js';
import { allowDialog } from './allow-dialog.js';

const CONDITIONS = ['source', 'destination', 'port', 'transport', 'domain', 'process', 'client_fingerprint'];
/** What somebody stated; the rest of an entry is the sidecar's. */
const STATED = [...CONDITIONS, 'reason', 'owner', 'expires'];

/** @type {import('../app.js').MakeView} */
export function allowView({ api }) {
  const region = element('div', { class: 'list' });
  const summary = element('p', { class: 'list-summary', role: 'status' });
  const add = () => element('button', { type: 'button', class: 'primary', click: () => void create() }, 'Add entry …');

  async function create() {
    const made = await allowDialog(api);
    if (!made) return;
    toast('Added to the allow-list.', { undo: () => remove(made.entry, false) });
    await load();
  }
  /** @param {any} entry @param {boolean} undoable */
  async function remove(entry, undoable = true) {
    try {
      await api.delete(`allow/${encodeURIComponent(entry.id)}`);
      toast(undoable ? 'Removed from the allow-list.' : 'Undone.', { undo: undoable ? () => restore(entry) : undefined });
    } catch (error) {
      toast(error instanceof Error ? error.message : String(error), { tone: 'bad' });
    }
    await load();
  }
  /** @param {any} entry */
  async function restore(entry) {
    try {
      await api.post('allow', Object.fromEntries(STATED.map((name) => [name, entry[name] ?? undefined])));
      toast('Undone.');
    } catch (error) {
      toast(error instanceof Error ? error.message : String(error), { tone: 'bad' });
    }
    await load();
  }
  const table = createTable({ caption: 'Allow-list', columns: columns(remove), id: (entry) => entry.id });
  const show = (/** @type {any} */ answer) => {
    summary.textContent = answer.count === 1 ? '1 entry' : `${count(answer.count)} entries`;
    table.show(answer.entries);
    replace(region, answer.count > 0 ? table.node : emptyState('Everything is reported', 'Entries here keep harmless beats, such as update checks, out of the findings. Each has a reason and can expire.'));
  };
  const load = () => (table.size > 0 ? api.get('allow').then(show, () => undefined) : fill(region, 'the allow-list', () => api.get('allow'), show));
  const heading = element('div', { class: 'heading' }, element('h1', {}, 'Allow-list'), summary, add());
  return { title: 'Allow-list', node: element('div', { class: 'view' }, heading, region), load };
}

/**
 * @param {(entry: any) => Promise<void>} remove
 * @returns {import('../parts/table.js').Column<any>[]}
 */
function columns(remove) {
  return [
    { name: 'Conditions', cell: conditions, className: 'main' },
    { name: 'Reason', cell: (entry) => entry.reason, className: 'names' },
    { name: 'Owner', cell: (entry) => entry.owner ?? '–', className: 'names' },
    { name: 'Matched', cell: (entry) => count(entry.matched), numeric: true },
    { name: 'Created', cell: (entry) => time(entry.created) },
    { name: 'Expires', cell: (entry) => (entry.expires ? [time(entry.expires), entry.expired ? badge('Expired', 'warn') : null] : 'Never') },
    { name: 'From', cell: (entry) => badge(entry.origin === 'config' ? 'Configuration' : 'API', 'quiet') },
    { name: 'Remove', cell: (entry) => removeButton(entry, remove) },
  ];
}

/** @param {any} entry */
function conditions(entry) {
  const given = CONDITIONS.filter((name) => entry[name] !== undefined && entry[name] !== null);
  return element('span', { class: 'conditions' }, given.map((name) => element('span', { class: 'condition' }, element('span', { class: 'muted' }, `${name.replace('_', ' ')} `), String(entry[name]))));
}

/** @param {any} entry @param {(entry: any) => Promise<void>} remove */
function removeButton(entry, remove) {
  if (entry.origin === 'config') return element('span', { class: 'muted' }, 'In the file');
  return element('button', { type: 'button', class: 'small', click: () => void remove(entry) }, 'Remove', element('span', { class: 'visually-hidden' }, `: ${entry.reason}`));
}
