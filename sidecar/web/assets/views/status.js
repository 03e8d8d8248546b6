/** Health, and the counters of every part as the sidecar gives them. */

import { element, replace } from '../dom.js';
import { bytes, count, duration, label, number, time } from '../format.js';
import { badge } from '../parts/badges.js';
import { fill } from '../parts/states.js';
import { factList } from './finding-panels.js';

const REFRESH_MS = 5000;
/** What has a page of its own, and what stands there under another name for other programs. */
const ELSEWHERE = new Set(['destinations', 'sensors', 'exporters', 'status', 'uptime_seconds', 'start_time', 'requests_received', 'batches_processed', 'events_received', 'storage', 'analyzer', 'alerter']);
const TIMES = /^(started|last_analysis|.*_at)$/;

/** @type {import('../app.js').MakeView} */
export function statusView({ api }) {
  const region = element('div', { class: 'list' });
  const read = async (/** @type {boolean} */ ask) => Promise.all([api.request('health', { ask }), api.request('status', { ask })]);
  const show = (/** @type {any[]} */ [health, status]) => replace(region, healthPanel(health), element('div', { class: 'cards' }, sections(status)));
  const load = () => fill(region, 'the status', () => read(true), show);
  const timer = setInterval(() => {
    if (region.getAttribute('aria-busy') === null) read(false).then(show, () => undefined);
  }, REFRESH_MS);
  const heading = element('div', { class: 'heading' }, element('h1', {}, 'Status'));
  return { title: 'Status', node: element('div', { class: 'view' }, heading, region), load, dispose: () => clearInterval(timer) };
}

/** @param {any} health */
function healthPanel(health) {
  const good = health.status === 'healthy';
  const problems = health.problems?.length > 0 ? element('ul', { class: 'problems' }, health.problems.map((/** @type {string} */ text) => element('li', {}, text))) : element('p', { class: 'muted' }, 'No part reports a problem.');
  return element('section', { class: 'panel' }, element('div', { class: 'card-head' }, element('h2', {}, 'Health'), badge(good ? 'Healthy' : 'Degraded', good ? 'good' : 'bad'), element('span', { class: 'muted' }, `Version ${health.version}, running for ${duration(health.uptime_seconds)}`)), problems);
}

/** A card for each part, whatever parts there are. @param {Record<string, any>} status */
function sections(status) {
  const parts = Object.entries(status).filter(([name, value]) => isRecord(value) && !ELSEWHERE.has(name));
  const single = Object.entries(status).filter(([name, value]) => !isRecord(value) && !Array.isArray(value) && !ELSEWHERE.has(name));
  const cards = parts.flatMap(([name, value]) => (name === 'parts' ? Object.entries(value) : [[name, value]])).map(([name, value]) => card(label(name), value));
  return [card('Program', Object.fromEntries(single)), ...cards].filter(Boolean);
}

/** @param {string} title @param {Record<string, any>} values */
function card(title, values) {
  const facts = flatten(values);
  return facts.length > 0 ? element('section', { class: 'panel' }, element('h2', {}, title), factList(facts)) : null;
}

/**
 * @param {Record<string, any>} values
 * @param {string} [prefix]
 * @returns {[string, import('../dom.js').Child][]}
 */
function flatten(values, prefix = '') {
  return Object.entries(values).flatMap(([key, value]) => {
    const name = prefix === '' ? label(key) : `${prefix}: ${label(key).toLowerCase()}`;
    if (isRecord(value)) return flatten(value, name);
    if (Array.isArray(value)) return value.length > 0 && !isRecord(value[0]) ? [[name, value.join(', ')]] : [];
    return [[name, shown(key, value)]];
  });
}

/** @param {string} key @param {unknown} value */
function shown(key, value) {
  if (typeof value === 'boolean') return value ? 'Yes' : 'No';
  if (typeof value === 'string') return TIMES.test(key) ? time(value) : value;
  if (key.endsWith('_bytes')) return bytes(value);
  if (/_(s|seconds)$/.test(key)) return duration(value);
  return Number.isInteger(value) ? count(value) : number(value);
}

/** @param {unknown} value @returns {value is Record<string, any>} */
function isRecord(value) {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
