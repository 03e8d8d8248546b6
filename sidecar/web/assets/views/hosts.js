/** Hosts in the order in which to look at them, by the scores of their series. */

import { element } from '../dom.js';
import { count, score } from '../format.js';
import { createFilters } from '../parts/filters.js';
import { createPagedTable } from '../parts/paged-table.js';
import { emptyState } from '../parts/states.js';

/** @type {import('../parts/filters.js').Field[]} */
const FILTERS = [{ name: 'source', label: 'Host', hint: 'IP or CIDR' }];

/** @type {import('../parts/table.js').Column<any>[]} */
const COLUMNS = [
  { name: 'Host', cell: (host) => element('a', { href: `#/series?source=${encodeURIComponent(host.host)}` }, host.host), className: 'main' },
  { name: 'Findings', cell: (host) => count(host.findings), numeric: true },
  { name: 'Largest score', cell: (host) => score(host.max_risk), numeric: true },
  { name: 'Mean score', cell: (host) => score(host.mean_risk), numeric: true },
  { name: 'Series', cell: (host) => count(host.scored), numeric: true },
  { name: 'Connections', cell: (host) => count(host.event_count), numeric: true },
  { name: 'What is behind the largest', cell: (host) => host.reason.split(' Context: ')[0], className: 'why' },
];

/** @type {import('../app.js').MakeView} */
export function hostsView({ api }, route) {
  const filters = createFilters(FILTERS, route.query, () => void list.reload());
  const list = createPagedTable({
    api,
    path: 'hosts',
    items: 'hosts',
    what: 'hosts',
    query: () => filters.values,
    empty: () => emptyState('No hosts', 'No series of such a host has been scored yet.'),
    table: { columns: COLUMNS, id: (host) => host.host },
  });
  const refresh = element('button', { type: 'button', class: 'quiet', click: () => void list.reload() }, 'Refresh');
  const heading = element('div', { class: 'heading' }, element('h1', {}, 'Hosts'), list.summary, refresh);
  const text = 'Which hosts to look at first: by the largest score of their series, then by the mean.';
  return { title: 'Hosts', node: element('div', { class: 'view' }, heading, element('p', { class: 'muted' }, text), filters.form, list.region), load: list.reload };
}
