/** The sensors that send records, and whether any fell silent or lost some. */

import { element, replace } from '../dom.js';
import { count, time } from '../format.js';
import { badge } from '../parts/badges.js';
import { emptyState, fill } from '../parts/states.js';
import { createTable } from '../parts/table.js';

const REFRESH_MS = 5000;
/** @type {Record<string, [string, 'good' | 'bad' | 'warn']>} */
const STATES = { live: ['Live', 'good'], silent: ['Silent', 'bad'], gaps: ['Lost records', 'warn'] };

/** @type {import('../parts/table.js').Column<any>[]} */
const COLUMNS = [
  { name: 'State', cell: ({ state }) => badge(...(STATES[state] ?? [String(state), 'warn'])) },
  { name: 'Sensor', cell: (sensor) => [element('span', {}, sensor.host_name || sensor.id), sensor.host_name ? element('code', { class: 'second' }, sensor.id) : null], className: 'main' },
  { name: 'Last seen', cell: (sensor) => time(sensor.last_seen) },
  { name: 'Received', cell: (sensor) => count(sensor.received), numeric: true },
  { name: 'Came twice', cell: (sensor) => count(sensor.duplicates), numeric: true },
  { name: 'Missing', cell: (sensor) => count(sensor.missing), numeric: true },
  { name: 'Missing numbers', cell: gaps, className: 'names' },
];

/** First and last number of each gap. @param {any} sensor */
function gaps({ gaps: given }) {
  /** @type {[number, number][]} */
  const ranges = given ?? [];
  if (ranges.length === 0) return '–';
  return ranges.map(([first, last]) => (first === last ? count(first) : `${count(first)}–${count(last)}`)).join(', ');
}

/** @type {import('../app.js').MakeView} */
export function sensorsView({ api }) {
  const region = element('div', { class: 'list' });
  const summary = element('p', { class: 'list-summary', role: 'status' });
  const table = createTable({ caption: 'Sensors', columns: COLUMNS, id: (sensor) => sensor.id });
  const show = (/** @type {any} */ answer) => {
    summary.textContent = `${count(answer.count)} sensor${answer.count === 1 ? '' : 's'}`;
    table.show(answer.sensors);
    if (answer.count === 0) replace(region, emptyState('No sensors yet', 'A sensor appears when its first records arrive over OTLP.'));
    else if (!table.node.isConnected) replace(region, table.node);
  };
  const load = () => fill(region, 'the sensors', () => api.get('sensors'), show);
  const timer = setInterval(() => {
    if (region.getAttribute('aria-busy') === null) api.request('sensors', { ask: false }).then(show, () => undefined);
  }, REFRESH_MS);
  const heading = element('div', { class: 'heading' }, element('h1', {}, 'Sensors'), summary);
  return { title: 'Sensors', node: element('div', { class: 'view' }, heading, region), load, dispose: () => clearInterval(timer) };
}
