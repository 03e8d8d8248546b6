/** Connections by pair, and those that last long. */

import { count, duration, endpoint, time } from '../format.js';
import { listView } from '../parts/list-view.js';
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
 */
function view(context, route, options) {
  return listView(context, route, {
    ...options,
    path: 'connections',
    items: 'pairs',
    what: 'pairs',
    empty: () => emptyState('No connections', 'Nothing that matches was seen. Records come from a sensor, a file or the telemetry API.'),
    columns: COLUMNS,
    id: (pair) => pair.id ?? pair.pair_key,
  });
}
