/** Where findings are delivered to, how that goes, and a test through the real client. */

import { element, replace } from '../dom.js';
import { count } from '../format.js';
import { badge, capital } from '../parts/badges.js';
import { show as showDialog } from '../parts/dialog.js';
import { emptyState, fill } from '../parts/states.js';
import { toast } from '../parts/toast.js';
import { factList } from './finding-panels.js';

const REFRESH_MS = 5000;

/** @type {import('../app.js').MakeView} */
export function destinationsView({ api }) {
  const region = element('div', { class: 'list' });
  const summary = element('p', { class: 'list-summary', role: 'status' });
  const show = (/** @type {any} */ { destinations }) => {
    summary.textContent = `${count(destinations.length)} destination${destinations.length === 1 ? '' : 's'}`;
    if (region.contains(document.activeElement)) return;
    const cards = destinations.map((/** @type {any} */ destination) => card(api, destination));
    replace(region, cards.length > 0 ? element('div', { class: 'cards' }, cards) : emptyState('No destinations', 'Findings are kept here only. Destinations are set in the configuration file: [sidecar.destinations.NAME].'));
  };
  const load = () => fill(region, 'the destinations', () => api.get('destinations'), show);
  const timer = setInterval(() => {
    if (region.querySelector('.card')) api.request('destinations', { ask: false }).then(show, () => undefined);
  }, REFRESH_MS);
  const refresh = element('button', { type: 'button', class: 'quiet', click: () => void load() }, 'Refresh');
  const heading = element('div', { class: 'heading' }, element('h1', {}, 'Destinations'), summary, refresh);
  return { title: 'Destinations', node: element('div', { class: 'view' }, heading, region), load, dispose: () => clearInterval(timer) };
}

/** How a destination does, in a word. @param {any} destination */
function condition(destination) {
  if (destination.configured === false) return badge('Not configured any more', 'quiet');
  if (destination.dead_letters > 0) return badge('Has dead letters', 'bad');
  if (destination.last_error && destination.pending > 0) return badge('Failing', 'bad');
  if (destination.unconfirmed > 0) return badge('Unconfirmed', 'warn');
  return badge('Working', 'good');
}

/** @param {import('../api.js').Api} api @param {any} destination */
function card(api, destination) {
  const { name } = destination;
  const test = (/** @type {boolean} */ dryRun) => () => void runTest(api, name, dryRun);
  const letters = destination.dead_letters > 0 ? element('a', { class: 'button', href: `#/dead-letters?destination=${encodeURIComponent(name)}` }, `Dead letters (${count(destination.dead_letters)})`) : null;
  return element(
    'article',
    { class: 'card panel', 'aria-label': name },
    element('div', { class: 'card-head' }, element('h2', {}, name), element('span', { class: 'muted' }, destination.type), condition(destination)),
    factList([
      ['Delivered', count(destination.delivered)],
      ['Already there', count(destination.already_there)],
      ['Waiting', count(destination.pending)],
      ['Not confirmed yet', destination.awaiting > 0 ? count(destination.awaiting) : null],
      ['Unconfirmed', count(destination.unconfirmed)],
      ['Tried again', count(destination.retries)],
      ['Failures in a row', count(destination.failures)],
      ['Refused for good', count(destination.dead)],
      ['Dead letters', count(destination.dead_letters)],
      ['Sent again', destination.replayed > 0 ? count(destination.replayed) : null],
      ['Dropped', count(destination.dropped + destination.dead_dropped)],
      ['Filtered out', count(destination.filtered)],
      ['Minimum severity', destination.minimum_severity ? capital(destination.minimum_severity) : null],
    ]),
    destination.last_error ? element('p', { class: 'problem' }, 'Last error: ', destination.last_error) : null,
    element('div', { class: 'actions' }, button('Send test', name, test(false)), button('Show test document', name, test(true)), letters),
  );
}

/** @param {string} text @param {string} name @param {() => void} click */
function button(text, name, click) {
  return element('button', { type: 'button', click }, text, element('span', { class: 'visually-hidden' }, `: ${name}`));
}

/** @type {Record<string, [string, 'good' | 'bad']>} */
const OUTCOMES = {
  delivered: ['took the test document.', 'good'],
  unconfirmed: ['was sent the test document; it does not confirm.', 'good'],
  refused: ['refused the test document', 'bad'],
  retry: ['could not be reached', 'bad'],
};

/** @param {import('../api.js').Api} api @param {string} name @param {boolean} dryRun */
async function runTest(api, name, dryRun) {
  try {
    const answer = await api.post(`destinations/${encodeURIComponent(name)}/test`, {}, dryRun ? { dry_run: true } : {});
    if (dryRun) {
      showDialog(`What ${name} would be sent`, element('pre', { class: 'document', tabindex: 0 }, pretty(answer.document ?? answer)));
      return;
    }
    const [text, tone] = OUTCOMES[answer.outcome] ?? [String(answer.outcome), 'bad'];
    toast(`${name} ${text}${answer.reason ? `: ${answer.reason}` : ''}`, { tone });
  } catch (error) {
    toast(error instanceof Error ? error.message : String(error), { tone: 'bad' });
  }
}

/** @param {unknown} document */
export function pretty(document) {
  if (typeof document !== 'string') return JSON.stringify(document, null, 2);
  try {
    return JSON.stringify(JSON.parse(document), null, 2);
  } catch {
    return document;
  }
}
