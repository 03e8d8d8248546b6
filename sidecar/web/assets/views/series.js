/** Every scored series, also those that are listed as benign or score too little: best first. */

import { element } from '../dom.js';
import { count, duration, endpoint, percent, score, time } from '../format.js';
import { badge, severityBadge } from '../parts/badges.js';
import { listView } from '../parts/list-view.js';
import { emptyState } from '../parts/states.js';

/** @type {import('../parts/filters.js').Field[]} */
const FILTERS = [
  { name: 'benign', label: 'Benign', options: [['', 'With'], ['false', 'Without'], ['true', 'Only']] },
  { name: 'min_score', label: 'Score from', options: [['', 'Any'], ['0.5', '0.5'], ['0.7', '0.7'], ['0.9', '0.9']] },
  { name: 'source', label: 'Source', hint: 'IP or CIDR' },
  { name: 'destination', label: 'Destination', hint: 'IP or CIDR' },
  { name: 'port', label: 'Port', type: 'number', hint: 'Any' },
  { name: 'process', label: 'Process', hint: 'Name' },
  { name: 'server_name', label: 'Server name', hint: 'Part of it' },
];

/** @type {import('../parts/table.js').Column<any>[]} */
const COLUMNS = [
  { name: 'Score', cell: (series) => score(series.combined_score), numeric: true },
  { name: 'Verdict', cell: verdict },
  { name: 'Source', cell: (series) => series.src_ip },
  { name: 'Destination', cell: destination, className: 'main' },
  { name: 'Process', cell: (series) => series.process?.name ?? '–', className: 'names' },
  { name: 'Every', cell: (series) => [duration(series.interval_s), element('span', { class: 'second' }, `± ${percent(series.jitter)}`)], numeric: true },
  { name: 'Connections', cell: (series) => count(series.connection_count), numeric: true },
  { name: 'Last seen', cell: (series) => time(series.last_seen) },
  { name: 'Why', cell: (series) => series.benign?.reason ?? series.explanation.text.split(' Context: ')[0], className: 'why' },
];

/** @param {any} series */
function verdict(series) {
  if (series.benign) return badge('Benign', 'good');
  if (series.is_beacon) return severityBadge(series.severity);
  return series.part_of ? badge('Part of another', 'quiet') : badge('Below the threshold', 'quiet');
}

/** @param {any} series */
function destination(series) {
  const place = endpoint(series.dst_ip, series.dst_port);
  const name = series.server_name ? element('span', { class: 'second' }, series.server_name) : null;
  return [series.finding_id ? element('a', { href: `#/findings/${series.finding_id}` }, place) : place, name];
}

/** @type {import('../app.js').MakeView} */
export function seriesView(context, route) {
  return listView(context, route, {
    title: 'Scored series',
    text: 'All that was scored, best first: findings, what is listed as benign with the reason, and what is below the threshold.',
    fields: FILTERS,
    path: 'beacons',
    items: 'beacons',
    what: 'series',
    empty: () => emptyState('No series', 'Nothing that matches has been scored. A series needs four beats.'),
    columns: COLUMNS,
    id: (series) => series.id,
  });
}
