/**
 * A day of documents: findings of a few hosts with their revisions, the flows behind them, and sensors that fell silent.
 *
 * Made here and not by the product, in the shapes that `docs/fields.md` states; the same at each run.
 */

import { event } from './search.mjs';

const HOUR_S = 3600;
const SEVERITIES = /** @type {[number, string, number][]} */ ([[0.9, 'critical', 99], [0.8, 'high', 73], [0.7, 'medium', 47], [0, 'low', 21]]);
const WEB = { id: ['T1071'], name: ['Application Layer Protocol'] };

/** source, host, destination, name, port, process, period in s, jitter in %, score at the end, first hour */
const FINDINGS = /** @type {[string, string, string, string | null, number, string, number, number, number, number][]} */ ([
  ['10.20.0.5', 'ws-14', '203.0.113.66', 'c2.bad.example', 443, '/usr/bin/implant', 60, 20, 0.97, 2],
  ['10.20.0.6', 'ws-15', '203.0.113.66', 'c2.bad.example', 443, '/usr/bin/implant', 60, 20, 0.95, 4],
  ['10.20.0.9', 'ws-18', '203.0.113.66', 'c2.bad.example', 443, '/usr/bin/implant', 61, 21, 0.93, 9],
  ['10.20.0.5', 'ws-14', '198.51.100.20', null, 8080, '/tmp/.cache/kworker', 300, 10, 0.88, 7],
  ['10.20.1.7', 'build-2', '198.51.100.44', 'telemetry.example.net', 443, '/opt/agent/agent', 900, 2, 0.81, 1],
  ['10.20.1.9', 'mail-1', '192.0.2.80', 'updates.example.org', 80, '/usr/bin/curl', 3600, 1, 0.74, 3],
  ['10.20.2.3', 'ws-31', '198.51.100.9', null, 53, '/usr/bin/dig', 20, 45, 0.72, 12],
  ['2001:db8::31', 'ws-31', '2001:db8:ffff::9', 'chat.example.com', 443, '/usr/bin/chat', 30, 5, 0.64, 15],
]);

/** Numbers from 0 to 1, the same each time. */
function numbers() {
  let state = 20_251_122;
  return () => {
    state = (state * 1_103_515_245 + 12_345) % 2 ** 31;
    return state / 2 ** 31;
  };
}

const iso = (/** @type {number} */ time_s) => new Date(time_s * 1000).toISOString();

/** @param {number} to_s The newest second. @returns {any[]} Events, oldest first. */
export function day(to_s) {
  const random = numbers();
  const from_s = to_s - 24 * HOUR_S;
  const events = [...FINDINGS.flatMap((finding, number) => [...revisions(finding, number, from_s, to_s, random), ...flows(finding, number, from_s, to_s, random)]), ...sensors(from_s)];
  return events.sort((a, b) => a._time - b._time);
}

/** @param {typeof FINDINGS[number]} finding @param {number} number @param {number} from_s @param {number} to_s @param {() => number} random */
function revisions([source, host, destination, domain, port, executable, period, jitter, last, hour], number, from_s, to_s, random) {
  const id = String(number + 1).padStart(32, '9f1c2a7be03d4f55a1b2c3d4e5f60718');
  const count = 3 + (number % 4);
  return Array.from({ length: count }, (_, at) => {
    const time = from_s + hour * HOUR_S + ((to_s - from_s - hour * HOUR_S) * at) / count + random() * 600;
    const beats = Math.round((time - from_s - hour * HOUR_S) / period) + 12;
    const score = last - 0.06 * (count - 1 - at) * random();
    const [, severity, value] = SEVERITIES.find(([least]) => score >= least) ?? SEVERITIES[3];
    const action = at === 0 ? 'beacon-detected' : at === count - 1 && number % 3 === 2 ? 'beacon-closed' : at === 1 ? 'beacon-escalated' : 'beacon-updated';
    return event(
      {
        '@timestamp': iso(time),
        beaconwatch: {
          count: beats,
          evidence: { beats, miss_rate: 0.02 * number, period_s: period * (1 + 0.004 * random()), p_value_any_look: 10 ** -(3 + at * 2) },
          explanation: `${beats} connections with a median interval of ${period} s.`,
          finding: { id, opened: iso(from_s + hour * HOUR_S), revision: at + 1, state: action === 'beacon-closed' ? 'closed' : 'open' },
          interval: { jitter_pct: jitter, mad_s: (period * jitter) / 400, median_s: period * (1 + 0.01 * (random() - 0.5)) },
          score,
          severity,
          suppression: { count: 3 * at },
          ...(number < 3 ? { view: { kind: 'domain', members: 3, shared: domain } } : {}),
        },
        destination: { bytes: beats * 2400, ip: destination, port, ...(domain ? { domain } : {}) },
        event: { action, id: `${id}-${at + 1}`, kind: 'alert', reason: `Score ${score.toFixed(2)} (${severity}) over ${beats} connections about every ${period}.0 s.`, risk_score: Math.round(score * 1000) / 10, severity: value },
        host: { name: host },
        observer: { name: 'detector-1', version: '0.1.0' },
        process: { executable, name: executable.split('/').at(-1) },
        source: { bytes: beats * 780, ip: source },
        threat: { technique: WEB },
      },
      { _time: time, sourcetype: 'beaconwatch:detection', delivery_lag_s: Math.round((0.4 + 2 * random()) * 1000) / 1000 },
    );
  });
}

/** @param {typeof FINDINGS[number]} finding @param {number} number @param {number} from_s @param {number} to_s @param {() => number} random */
function flows([source, host, destination, domain, port, executable, period, , , hour], number, from_s, to_s, random) {
  const every = Math.max(period, 600);
  const count = Math.floor((to_s - from_s - hour * HOUR_S) / every);
  return Array.from({ length: count }, (_, at) => {
    const time = from_s + hour * HOUR_S + at * every + random() * 5;
    return event(
      {
        'beaconwatch.exporter.id': `exporter-of-${host}`,
        'beaconwatch.flow.id': `${number}-${at}`,
        'beaconwatch.flow.event': 'end',
        'beaconwatch.flow.close_reason': ['fin_local', 'fin_remote', 'reset', 'idle'][Math.floor(random() ** 2 * 4)],
        'beaconwatch.flow.source.bytes': 780,
        'beaconwatch.flow.destination.bytes': 2400,
        'source.address': source,
        'destination.address': destination,
        'destination.port': port,
        'host.name': host,
        'process.executable.path': executable,
        ...(domain ? { 'server.address': domain } : {}),
      },
      { _time: time, sourcetype: 'beaconwatch:flow', duration: 0.2 },
    );
  });
}

/** @param {number} from_s */
function sensors(from_s) {
  const told = /** @type {[number, string, string, string, string, number][]} */ ([
    [5, 'ws-18', 'sensor-silent', 'open', 'alert', 0],
    [6, 'ws-18', 'sensor-recovered', 'closed', 'event', 0],
    [13, 'build-2', 'sensor-gap', 'open', 'alert', 340],
    [19, 'mail-1', 'sensor-silent', 'open', 'alert', 12],
  ]);
  return told.map(([hour, host, action, state, kind, missing]) => {
    const time = from_s + hour * HOUR_S;
    return event(
      {
        '@timestamp': iso(time),
        beaconwatch: { finding: { id: `sensor-${host}`, revision: 1, state }, sensor: { gaps: missing > 0 ? 2 : 0, id: `exporter-of-${host}`, last_seen: iso(time - 320), missing, received: 81_250 } },
        event: { action, id: `sensor-${host}-${hour}`, kind, reason: `The last of 81250 records came at ${iso(time - 320)}.`, severity: 47 },
        host: { name: host },
      },
      { _time: time, sourcetype: 'beaconwatch:sensor' },
    );
  });
}
