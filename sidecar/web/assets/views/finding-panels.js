/** The facts beside the charts: connections, process, deliveries, history. */

import { element } from '../dom.js';
import { bytes, count, duration, endpoint, NONE, percent, probability, time } from '../format.js';
import { badge, capital } from '../parts/badges.js';
import { undoFor } from './finding-actions.js';

/**
 * Names and values; what is not known is left out.
 * @param {[string, import('../dom.js').Child][]} facts
 */
export function factList(facts) {
  const known = facts.filter(([, value]) => value !== null && value !== undefined && value !== '' && value !== NONE);
  return element('dl', { class: 'facts' }, known.map(([name, value]) => element('div', {}, element('dt', {}, name), element('dd', {}, value))));
}

/** @param {string} title @param {...import('../dom.js').Child} content */
export function panel(title, ...content) {
  return element('section', { class: 'panel' }, element('h2', {}, title), content);
}

/** @param {any} alert */
export function connectionPanel({ details, series_id: seriesId, series }) {
  const statistics = series?.interval_stats;
  const lasted = (Date.parse(details.last_seen) - Date.parse(details.first_seen)) / 1000;
  return panel(
    'Connections',
    factList([
      ['Source', details.src_ip],
      ['Destination', endpoint(details.dst_ip, details.dst_port)],
      ['Protocol', details.protocol],
      ['Server name', details.server_name],
      ['Client (JA4)', details.client_fingerprint ? element('code', {}, details.client_fingerprint) : null],
      ['Host', details.host_name || details.host],
      ['Interval', duration(details.interval_s)],
      ['Jitter', percent(details.jitter)],
      ['Shortest, longest', statistics ? `${duration(statistics.min_interval)}, ${duration(statistics.max_interval)}` : null],
      ['Connections', count(details.connection_count)],
      ['Sent', bytes(details.bytes_out)],
      ['Received', bytes(details.bytes_in)],
      ['First seen', time(details.first_seen)],
      ['Last seen', time(details.last_seen)],
      ['Over', duration(lasted)],
      ['Series', seriesId ? element('code', {}, seriesId) : null],
    ]),
  );
}

/** What series that beat as one share. @type {Record<string, string>} */
const VIEW_KINDS = { process_destination: 'process and destination', server_name: 'server name', domain: 'domain', client_fingerprint: 'client fingerprint', rotation: 'port' };

/** What the times say: method evidence. @param {any} alert */
export function evidencePanel({ details, series }) {
  const evidence = details.evidence;
  if (!evidence) return null;
  const next = series?.evidence?.next ?? evidence.next;
  return panel(
    'Evidence',
    factList([
      ['Beats', `${count(evidence.beats)} ${evidence.source === 'activity' ? 'inside live connections' : 'by connection starts'}`],
      ['p-value', probability(evidence.p_value)],
      ['At any look', probability(evidence.p_value_any_look)],
      ['Period', `${duration(evidence.period_s)} ± ${percent(evidence.half_width)}`],
      ['Explains', `${percent(evidence.explained)} of the gaps`],
      ['Missed beats', percent(evidence.miss_rate)],
      ['Clock', evidence.clock_period_s ? `keeps to every ${duration(evidence.clock_period_s)}` : null],
      ['Active hours', `${count(evidence.active_hours)}, ${count(evidence.longest_run_h)} without a pause`],
      ['Beat as one', details.view ? `${count(details.view.members_total)} series with the same ${VIEW_KINDS[details.view.kind] ?? details.view.kind}${details.view.shared ? ` (${details.view.shared})` : ''}` : null],
      ['Other clients', details.other_clients ? `${count(details.other_clients)} beat to this server alike` : null],
      ['Next beat', next ? element('span', {}, time(next.earliest), ' to ', time(next.latest)) : null],
    ]),
    details.view ? element('details', {}, element('summary', {}, 'The series'), element('ul', { class: 'members' }, details.view.members.map((/** @type {string} */ member) => element('li', {}, element('code', {}, member))))) : null,
  );
}

/** @param {any} alert */
export function processPanel({ details, series }) {
  const process = series?.process ?? details.process;
  const known = details.process?.pid === process?.pid ? details.owner : null;
  const owner = series?.owner ?? known ?? {};
  const code = (/** @type {string | null | undefined} */ text) => (text ? element('code', {}, text) : null);
  if (!process) return panel('Process', element('p', { class: 'muted' }, 'Not known: the input does not say which process connected.'));
  return panel(
    'Process',
    factList([
      ['Name', process.name],
      ['Process id', process.pid === undefined ? null : String(process.pid)],
      ['Executable', process.executable ? element('code', {}, process.executable) : null],
      ['Command line', code(owner.command_line)],
      ['SHA-256', code(owner.executable_sha256)],
      ['Parent', code(owner.parent_executable ?? owner.parent_name)],
      ['User', owner.user_name],
      ['User id', process.user_id === null || process.user_id === undefined ? null : String(process.user_id)],
      ['Started', typeof process.started === 'string' ? time(process.started) : null],
      ['Container', code(owner.container_id)],
      ['Container in its pod', owner.pod_container],
      ['Pod', owner.pod_name ?? owner.pod_uid],
      ['Namespace', owner.pod_namespace],
      ['Unit', owner.unit],
      ["User's unit", owner.user_unit],
    ]),
  );
}

/** @param {any} alert */
export function sensorPanel({ details }) {
  return panel(
    'Sensor',
    factList([
      ['Sensor', details.sensor_id],
      ['Host', details.host_name],
      ['Last seen', time(details.last_seen)],
      ['Records missing', count(details.missing)],
      ['Gaps', count(details.gaps)],
    ]),
  );
}

/** @type {Record<string, 'good' | 'quiet' | 'bad' | 'warn'>} */
const DELIVERY_TONES = { delivered: 'good', pending: 'quiet', unconfirmed: 'warn', dead: 'bad' };

/** @param {any} alert */
export function deliveryPanel({ deliveries }) {
  if (!deliveries?.length) return panel('Deliveries', element('p', { class: 'muted' }, 'Nothing was sent yet, or there is no destination.'));
  const rows = deliveries.map((/** @type {any} */ delivery) => {
    const dead = delivery.state === 'dead' ? element('a', { href: `#/dead-letters?destination=${encodeURIComponent(delivery.destination)}` }, 'Dead letters') : null;
    const reason = delivery.reason ? element('span', { class: 'second' }, delivery.reason) : null;
    return element('li', {}, element('div', {}, element('strong', {}, delivery.destination), element('code', { class: 'second' }, delivery.event_id), reason, dead), badge(capital(delivery.state), DELIVERY_TONES[delivery.state] ?? 'quiet'));
  });
  return panel('Deliveries', element('ul', { class: 'deliveries' }, rows));
}

/**
 * @param {any} alert
 * @param {import('./finding-actions.js').Subject} subject
 */
export function historyPanel(alert, subject) {
  const events = [...(alert.history ?? [])].reverse();
  /** @type {Set<string>} */
  const undone = new Set();
  const items = events.map((event) => {
    const undo = undoFor(event.event, subject, undone);
    const button = undo ? element('button', { type: 'button', class: 'small', click: undo }, 'Undo', element('span', { class: 'visually-hidden' }, ` ${eventName(event.event)}`)) : null;
    const actor = event.actor ? ` by ${event.actor}` : '';
    return element('li', {}, element('div', { class: 'history-head' }, element('strong', {}, eventName(event.event)), element('span', { class: 'muted' }, actor), button), element('div', { class: 'muted' }, time(event.at)), textOf(event, alert));
  });
  return panel('History', items.length > 0 ? element('ol', { class: 'history' }, items) : element('p', { class: 'muted' }, 'Nothing yet.'));
}

/** What was said: comments keep their text apart from the history. @param {any} event @param {any} alert */
function textOf(event, alert) {
  const said = event.text ?? (/commented$/.test(event.event) ? alert.comments?.find((/** @type {any} */ comment) => comment.at === event.at)?.text : null);
  return said ? element('p', {}, said) : null;
}

/** `beacon-acknowledged` is "Acknowledged". @param {string} event */
function eventName(event) {
  return capital(event.replace(/^(beacon|sensor)-/, '').replaceAll('-', ' '));
}
