/** Why the score is what it is: what each signal adds to the score, or to its log-odds. */

import { element } from '../dom.js';
import { label, number, score } from '../format.js';

/** Colours and patterns that there are for segments; more signals begin again. */
const SEGMENTS = 6;

/** @param {any} alert */
export function explanationPanel(alert) {
  const { details } = alert;
  const parts = details.method === 'evidence' ? [logOdds(details)] : [stack(details.signals ?? [], details.score), shares(details)];
  return element('section', { class: 'panel' }, element('h2', {}, 'Why'), parts);
}

/** @param {Node} table */
function scrolled(table) {
  return element('div', { class: 'scroll', tabindex: 0, role: 'group', 'aria-label': 'Signals' }, table);
}

/** @param {[string, string | null][]} columns Names and classes. */
function head(columns) {
  return element('thead', {}, element('tr', {}, columns.map(([name, kind]) => element('th', { scope: 'col', class: kind }, name))));
}

/** The seed's score: a weighted sum. @param {any} details */
function shares(details) {
  const signals = details.signals ?? [];
  const table = element(
    'table',
    { class: 'signals' },
    element('caption', { class: 'visually-hidden' }, 'Signals and what each adds to the score'),
    head([['Signal', null], ['Adds', 'numeric'], ['Value × weight', 'numeric wide'], ['Measured', 'numeric'], ['Threshold', 'numeric wide']]),
    element('tbody', {}, signals.map(shareRow)),
    element('tfoot', {}, element('tr', {}, element('th', { scope: 'row' }, 'Score'), element('td', { class: 'numeric' }, score(details.score)), element('td', { colspan: 3, class: 'muted' }, details.method ? `Method: ${details.method}` : ''))),
  );
  return scrolled(table);
}

/** @param {any[]} signals @param {number} total */
function stack(signals, total) {
  const parts = signals.map((signal, index) => {
    const part = element('span', { class: `stack-part segment-${index % SEGMENTS}`, title: `${label(signal.name)}: ${score(signal.contribution)}` });
    part.style.width = `${Math.max(0, Math.min(1, signal.contribution ?? 0)) * 100}%`;
    return part;
  });
  const said = signals.map((signal) => `${label(signal.name)} ${score(signal.contribution)}`).join(', ');
  const bar = element('div', { class: 'stack', role: 'img', 'aria-label': `${said}; together ${score(total)} of 1` }, parts);
  return element('div', { class: 'stack-frame' }, bar, element('div', { class: 'stack-scale', 'aria-hidden': 'true' }, ['0', '0.25', '0.5', '0.75', '1'].map((tick) => element('span', {}, tick))));
}

/** @param {any} signal @param {number} index */
function shareRow(signal, index) {
  const swatch = element('span', { class: `swatch segment-${index % SEGMENTS}` });
  const cells = [[score(signal.contribution), 'numeric'], [`${score(signal.score)} × ${score(signal.weight)}`, 'numeric wide'], [number(signal.raw_value), 'numeric'], [number(signal.threshold), 'numeric wide']];
  return element('tr', {}, name(signal, swatch), cells.map(([text, kind]) => element('td', { class: kind }, text)));
}

/** @param {any} signal @param {Node | null} [swatch] */
function name(signal, swatch = null) {
  return element('th', { scope: 'row' }, swatch, label(signal.name), signal.text ? element('span', { class: 'second' }, signal.text) : null);
}

/** Calibrated evidence: each signal moves the log-odds, and their sum is the score. @param {any} details */
function logOdds(details) {
  const signals = details.signals ?? [];
  const largest = Math.max(1, ...signals.map((/** @type {any} */ signal) => Math.abs(signal.contribution ?? 0)));
  const sum = signals.reduce((/** @type {number} */ total, /** @type {any} */ signal) => total + (signal.contribution ?? 0), 0);
  const table = element(
    'table',
    { class: 'signals log-odds' },
    element('caption', { class: 'visually-hidden' }, 'Signals and what each adds to the log-odds of the score'),
    head([['Signal', null], ['Adds', 'numeric'], ['against · for a beacon', 'scale']]),
    element('tbody', {}, signals.map((/** @type {any} */ signal) => logOddsRow(signal, largest))),
    element('tfoot', {}, element('tr', {}, element('th', { scope: 'row' }, 'Log-odds'), element('td', { class: 'numeric' }, signed(sum)), element('td', { class: 'muted' }, `a score of ${score(details.score)}`))),
  );
  return scrolled(table);
}

/** @param {any} signal @param {number} largest */
function logOddsRow(signal, largest) {
  const share = Math.max(-1, Math.min(1, (signal.contribution ?? 0) / largest));
  const bar = element('span', { class: share < 0 ? 'against' : 'for' });
  bar.style.width = `${Math.abs(share) * 50}%`;
  return element('tr', {}, name(signal), element('td', { class: 'numeric' }, signed(signal.contribution)), element('td', { class: 'scale' }, element('span', { class: 'balance', 'aria-hidden': 'true' }, bar)));
}

/** @param {unknown} value */
function signed(value) {
  const text = score(value);
  return typeof value === 'number' && value >= 0 ? `+${text}` : text.replace('-', '−');
}
