/** Flow records as an exporter sends them, with beats in the last hours. */

import assert from 'node:assert/strict';
import { OTLP } from './world.mjs';

const EXPORTER = 'b0'.repeat(16);
let sequence = 0;

/** Names that would run if a page took them for markup. */
export const HOSTILE = {
  name: '<img src=x onerror=hacked()>',
  executable: '/tmp/"><script>hacked()</script>',
  server: '<svg onload=hacked()>.example.org',
  host: "<b onclick='hacked()'>host</b>",
};

/**
 * @typedef {object} Beats
 * @property {string} source
 * @property {string} destination
 * @property {number} [port]
 * @property {number} interval_s
 * @property {number} count
 * @property {number} [jitter] Share of the interval.
 * @property {{name: string, executable?: string}} [process]
 * @property {string} [server]
 * @property {string} [host]
 * @property {number} [end_s] Unix time of the last one; now when not given.
 * @property {boolean} [benign] No finding is made of it.
 */

/** What the tests look at: findings of different strength, a hostile one, and pairs without any beat. */
export function standardBeats() {
  const end_s = Math.floor(Date.now() / 1000) - 5;
  /** @type {Beats[]} */
  const beats = [
    { source: '10.20.0.5', destination: '203.0.113.66', interval_s: 60, count: 80, jitter: 0.01, process: HOSTILE, server: HOSTILE.server, host: HOSTILE.host },
    { source: '10.20.0.6', destination: '203.0.113.10', interval_s: 60, count: 150, jitter: 0.02, process: { name: 'updater', executable: '/opt/vendor/updater' }, server: 'cdn.example.org' },
    { source: '10.20.0.7', destination: '198.51.100.7', port: 8443, interval_s: 120, count: 90, jitter: 0.09, process: { name: 'curl', executable: '/usr/bin/curl' } },
    { source: '2001:db8::8', destination: '2001:db8:1::9', interval_s: 300, count: 60, jitter: 0.03, process: { name: 'python3', executable: '/usr/bin/python3.11' }, server: 'telemetry.example.net' },
    { source: '10.20.0.9', destination: '203.0.113.99', port: 53, interval_s: 30, count: 200, jitter: 0.05 },
    { source: '10.20.0.10', destination: '203.0.113.20', interval_s: 600, count: 30, jitter: 0.04, process: { name: 'backup', executable: '/usr/local/bin/backup' }, server: 'vault.example.com' },
    { source: '10.20.0.12', destination: '169.254.169.254', port: 80, interval_s: 60, count: 40, jitter: 0.02, process: { name: 'cloud-agent', executable: '/usr/sbin/cloud-agent' }, benign: true },
  ];
  for (let index = 0; index < 120; index += 1) beats.push({ source: `10.30.${index}.1`, destination: '203.0.113.200', port: 80, interval_s: 50 + index, count: 2 });
  return beats.map((one) => ({ end_s, ...one }));
}

/** Sends beats to the OTLP receiver, which acknowledges what it has stored. @param {Beats[]} beats */
export async function feed(beats) {
  const body = JSON.stringify({ resourceLogs: beats.map(resourceLogs) });
  const response = await fetch(`${OTLP}/v1/logs`, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
  const text = await response.text();
  assert.ok(response.ok, `${response.status} ${text}`);
  assert.ok(!text.includes('rejected'), text);
}

/** @param {Beats} beats */
function resourceLogs(beats) {
  const host = beats.host ?? 'ws-14';
  const attributes = [text('host.id', `id of ${host}`), text('host.name', host), text('service.name', 'beaconwatch-exporter')];
  return { resource: { attributes }, scopeLogs: [{ logRecords: startTimes(beats).map((time) => flow(beats, time)) }] };
}

/** Deviations that look irregular and are the same in every run. @param {Beats} beats */
function startTimes({ interval_s, count, jitter = 0, end_s = Date.now() / 1000 }) {
  const times = [end_s];
  for (let index = 1; index < count; index += 1) {
    const random = Math.abs(Math.sin(index * 12.9898) * 43_758.5453) % 1;
    const deviation = (2 * random - 1) * jitter;
    times.unshift(times[0] - interval_s * (1 + deviation));
  }
  return times;
}

/** A connection from start to end in one record. @param {Beats} beats @param {number} time_s */
function flow(beats, time_s) {
  const start = nanoseconds(time_s);
  const end = nanoseconds(time_s + 0.2);
  sequence += 1;
  const record = [
    text('beaconwatch.exporter.id', EXPORTER),
    number('beaconwatch.exporter.sequence', sequence - 1),
    text('beaconwatch.flow.id', sequence.toString(16).padStart(32, '0')),
    text('beaconwatch.flow.event', 'end'),
    number('beaconwatch.flow.record', 0),
    text('beaconwatch.flow.role', 'client'),
    number('beaconwatch.flow.start', start),
    number('beaconwatch.flow.end', end),
    { key: 'beaconwatch.flow.established', value: { boolValue: true } },
    ...counters('source', 780, 6),
    ...counters('destination', 2400, 5),
    text('source.address', beats.source),
    number('source.port', 40_000 + (sequence % 20_000)),
    text('destination.address', beats.destination),
    number('destination.port', beats.port ?? 443),
    text('network.transport', 'tcp'),
    text('network.type', beats.source.includes(':') ? 'ipv6' : 'ipv4'),
  ];
  if (beats.server) record.push(text('server.address', beats.server));
  if (beats.process) record.push(...processAttributes(beats.process));
  return { timeUnixNano: end, eventName: 'beaconwatch.network.flow', attributes: record };
}

/** @param {string} side @param {number} bytes @param {number} packets */
function counters(side, bytes, packets) {
  const prefix = `beaconwatch.flow.${side}`;
  return [number(`${prefix}.bytes`, bytes), number(`${prefix}.bytes_delta`, bytes), number(`${prefix}.packets`, packets), number(`${prefix}.packets_delta`, packets)];
}

/** @param {{name: string, executable?: string}} process */
function processAttributes({ name, executable }) {
  return [number('process.pid', 4711), text('process.executable.name', name), text('process.executable.path', executable ?? `/usr/bin/${name}`), text('process.creation.time', '2026-01-02T03:04:05Z'), number('process.real_user.id', 1000)];
}

/** @param {number} time_s */
function nanoseconds(time_s) {
  return (BigInt(Math.round(time_s * 1e6)) * 1000n).toString();
}

/** @param {string} key @param {string} stringValue */
function text(key, stringValue) {
  return { key, value: { stringValue } };
}

/** @param {string} key @param {number | string} value */
function number(key, value) {
  return { key, value: { intValue: String(value) } };
}
