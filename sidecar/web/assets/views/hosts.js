/** Hosts in the order in which to look at them, by the risk of their series or, without a model, by their scores. */

import { element } from '../dom.js';
import { count, score } from '../format.js';
import { listView } from '../parts/list-view.js';
import { emptyState } from '../parts/states.js';

/** @type {import('../parts/filters.js').Field[]} */
const FILTERS = [{ name: 'source', label: 'Host', hint: 'IP or CIDR' }];

/** @type {import('../parts/table.js').Column<any>[]} */
const COLUMNS = [
  { name: 'Host', cell: (host) => element('a', { href: `#/series?source=${encodeURIComponent(host.host)}` }, host.host), className: 'main' },
  { name: 'Findings', cell: (host) => count(host.findings), numeric: true },
  { name: 'Largest risk', cell: (host) => score(host.max_risk), numeric: true },
  { name: 'Mean risk', cell: (host) => score(host.mean_risk), numeric: true },
  { name: 'Largest score', cell: (host) => score(host.max_score), numeric: true },
  { name: 'Series', cell: (host) => count(host.scored), numeric: true },
  { name: 'Connections', cell: (host) => count(host.event_count), numeric: true },
  { name: 'What is behind the largest', cell: (host) => host.reason.split(' Context: ')[0], className: 'why' },
];

/** @type {import('../app.js').MakeView} */
export function hostsView(context, route) {
  return listView(context, route, {
    title: 'Hosts',
    text: 'Which hosts to look at first: by the largest risk that the model gives their series, then by the mean; without a model, by score.',
    fields: FILTERS,
    path: 'hosts',
    items: 'hosts',
    what: 'hosts',
    empty: () => emptyState('No hosts', 'No series of such a host has been scored yet.'),
    columns: COLUMNS,
    id: (host) => host.host,
  });
}
