/** All findings, with filters. What is new is counted and shown when asked for, so that nothing jumps. */

import { after, announce, element } from '../dom.js';
import { count, duration, endpoint, percent, score, time } from '../format.js';
import { severityBadge, stateBadges } from '../parts/badges.js';
import { createFilters } from '../parts/filters.js';
import { createPagedTable } from '../parts/paged-table.js';
import { emptyState } from '../parts/states.js';

/** Changes come in bursts at the end of an analysis; they are counted together. */
const COUNT_AFTER_MS = 400;

/** @type {import('../parts/filters.js').Field[]} */
const FILTERS = [
  { name: 'q', label: 'Search', type: 'search', hint: 'Address, name or id' },
  { name: 'state', label: 'State', initial: 'open', options: [['open', 'Open'], ['acknowledged', 'Acknowledged'], ['closed', 'Closed'], ['allowed', 'Allowed'], ['suppressed', 'Suppressed'], ['', 'All']] },
  { name: 'severity', label: 'Severity', options: [['', 'Any'], ['medium', 'Medium and up'], ['high', 'High and up'], ['critical', 'Critical']] },
  { name: 'source', label: 'Source', hint: 'IP or CIDR' },
  { name: 'destination', label: 'Destination', hint: 'IP or CIDR' },
  { name: 'process', label: 'Process', hint: 'Name' },
  { name: 'simulated', label: 'Simulated', options: [['', 'With'], ['false', 'Without'], ['true', 'Only']] },
];

/** @type {import('../app.js').MakeView} */
export function findingsView({ api }, route) {
  const filters = createFilters(FILTERS, route.query, () => void reload());
  const query = () => ({ ...filters.values, sort: filters.sort || 'updated' });
  const news = element('button', { type: 'button', class: 'news', hidden: true, click: () => void reload() });
  const list = createPagedTable({
    api,
    path: 'alerts',
    items: 'alerts',
    what: 'findings',
    query,
    empty: () => nothing(Object.values(filters.values).some((value) => value !== '' && value !== 'open')),
    table: { columns: COLUMNS, id: (alert) => alert.alert_id, rowClass: rowClass, sort: filters.sort || 'updated', onSort },
  });

  function onSort(/** @type {string} */ chosen) {
    list.table.setSort(chosen);
    filters.setSort(chosen);
  }

  async function reload() {
    news.hidden = true;
    await list.reload();
  }

  const countNew = after(COUNT_AFTER_MS, async () => {
    const page = await list.page().catch(() => null);
    if (!page) return;
    if (list.table.size === 0) {
      if (page.count > 0) await reload();
      return;
    }
    const unseen = page.alerts.filter((/** @type {any} */ alert) => !list.table.has(alert.alert_id)).length;
    if (unseen === 0) return;
    const text = `${count(unseen)}${page.count === unseen ? ' or more' : ''} new finding${unseen === 1 ? '' : 's'}: show`;
    if (news.textContent !== text || news.hidden) announce(text.replace(': show', ''));
    news.textContent = text;
    news.hidden = false;
  });

  const heading = element('div', { class: 'heading' }, element('h1', {}, 'Findings'), list.summary, news);
  return {
    title: 'Findings',
    node: element('div', { class: 'view' }, heading, filters.form, list.region),
    load: reload,
    onAlert(alert) {
      if (!list.table.update(alert)) countNew();
    },
  };
}

/** @param {boolean} filtered */
function nothing(filtered) {
  if (filtered) return emptyState('Nothing matches', 'No finding matches these filters. Clear some of them to see more.');
  return emptyState('No open findings', 'Nothing beacons as far as Beaconwatch can tell. A new finding appears here by itself; `beaconwatch simulate` proves the whole chain with a harmless one.');
}

/** @param {any} alert */
function rowClass(alert) {
  return `row-${alert.severity}${alert.state === 'closed' ? ' row-closed' : ''}`;
}

/** What a finding is about, in a line. @param {any} alert */
export function subject(alert) {
  const { details } = alert;
  if (alert.kind === 'sensor') return alert.title;
  return `${details.src_ip} → ${endpoint(details.dst_ip, details.dst_port)}/${String(details.protocol ?? '').toLowerCase()}`;
}

/** @param {any} process @returns {string} */
export function processName(process) {
  if (!process) return '–';
  return process.name ?? process.executable ?? `pid ${process.pid}`;
}

/** @param {any} alert */
function subjectCell(alert) {
  const link = element('a', { class: 'subject', href: `#/findings/${encodeURIComponent(alert.alert_id)}` }, subject(alert));
  const name = alert.details.server_name;
  return [link, name ? element('span', { class: 'second' }, name) : null];
}

/** @param {any} alert */
function processCell({ details }) {
  if (!details.process) return '–';
  const pid = details.process.pid ? `pid ${details.process.pid}` : null;
  return [processName(details.process), pid && details.process.name ? element('span', { class: 'second' }, pid) : null];
}

/** @param {any} alert */
function intervalCell({ details }) {
  const jitter = typeof details.jitter === 'number' ? element('span', { class: 'second' }, `± ${percent(details.jitter)}`) : null;
  return [duration(details.interval_s), jitter];
}

/** @type {import('../parts/table.js').Column<any>[]} */
const COLUMNS = [
  { name: 'Severity', cell: (alert) => severityBadge(alert.severity), sort: 'severity' },
  { name: 'Score', cell: (alert) => score(alert.details.score), sort: 'score', numeric: true },
  { name: 'Finding', cell: subjectCell, className: 'main' },
  { name: 'Process', cell: processCell, className: 'names' },
  { name: 'Host', cell: (alert) => alert.details.host_name || alert.details.host || '–', className: 'names' },
  { name: 'Interval', cell: intervalCell, numeric: true },
  { name: 'Connections', cell: (alert) => count(alert.details.connection_count), numeric: true },
  { name: 'State', cell: stateBadges },
  { name: 'Opened', cell: (alert) => time(alert.opened), sort: 'opened' },
  { name: 'Updated', cell: (alert) => time(alert.updated), sort: 'updated' },
];

