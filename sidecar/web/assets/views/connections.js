/** Connections by pair, and those that last long. */

import { element } from '../dom.js';
import { count, duration, endpoint, time } from '../format.js';
import { createFilters } from '../parts/filters.js';
import { createPagedTable } from '../parts/paged-table.js';
import { emptyState } from '../parts/states.js';

/** @type {import('../parts/filters.js').Field[]} */
const FILTERS = [
  { name: 'source', label: 'Source', hint: 'IP or CIDR' },
  { name: 'destination', label: 'Destination', hint: 'IP or CIDR' },
  { name: 'port', label: 'Port', type: 'number', hint: 'Any' },
];
/** @type {import('../parts/filters.js').Field} */
const MIN_DURATION = { name: 'min_duration', label: 'Lasting at least', initial: '3600', options: [['60', '1 minute'], ['600', '10 minutes'], ['3600', '1 hour'], ['21600', '6 hours'], ['86400', '1 day'], ['604800', '7 days']] };

/** @type {import('../parts/table.js').Column<any>[]} */
const COLUMNS = [
  { name: 'Source', cell: (pair) => pair.src_ip },
  { name: 'Destination', cell: (pair) => endpoint(pair.dst_ip, pair.dst_port), className: 'main' },
  { name: 'Protocol', cell: (pair) => pair.protocol },
  { name: 'Host', cell: (pair) => pair.host_name || pair.host || '–', className: 'names' },
  { name: 'Connections', cell: (pair) => count(pair.connection_count), sort: 'count', numeric: true },
  { name: 'Over', cell: (pair) => duration(pair.duration_seconds), sort: 'duration', numeric: true },
  { name: 'First seen', cell: (pair) => time(pair.first_seen) },
  { name: 'Last seen', cell: (pair) => time(pair.last_seen), sort: 'last_seen' },
];

/** @type {import('../app.js').MakeView} */
export function connectionsView(context, route) {
  return view(context, route, {
    title: 'Connections',
    text: 'Who talks to whom, over all connections that are remembered.',
    fields: FILTERS,
    sort: 'count',
  });
}

/** @type {import('../app.js').MakeView} */
export function longConnectionsView(context, route) {
  return view(context, route, {
    title: 'Long connections',
    text: 'Pairs that have been in touch for long, from the first connection to the last.',
    fields: [MIN_DURATION, ...FILTERS],
    sort: 'duration',
  });
}

/**
 * @param {import('../app.js').Context} context
 * @param {import('../router.js').Route} route
 * @param {{title: string, text: string, fields: import('../parts/filters.js').Field[], sort: string}} options
 * @returns {import('../app.js').View}
 */
function view({ api }, route, { title, text, fields, sort }) {
  const filters = createFilters(fields, route.query, () => void list.reload());
  const list = createPagedTable({
    api,
    path: 'connections',
    items: 'pairs',
    what: 'pairs',
    query: () => ({ ...filters.values, sort: filters.sort || sort }),
    empty: () => emptyState('No connections', 'Nothing that matches was seen. Records come from a sensor, a file or the telemetry API.'),
    table: {
      columns: COLUMNS,
      id: (pair) => pair.id ?? pair.pair_key,
      sort: filters.sort || sort,
      onSort(chosen) {
        list.table.setSort(chosen);
        filters.setSort(chosen);
      },
    },
  });
  const refresh = element('button', { type: 'button', class: 'quiet', click: () => void list.reload() }, 'Refresh');
  const heading = element('div', { class: 'heading' }, element('h1', {}, title), list.summary, refresh);
  return { title, node: element('div', { class: 'view' }, heading, element('p', { class: 'muted' }, text), filters.form, list.region), load: list.reload };
}
