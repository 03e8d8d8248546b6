/** Why the score is what it is: the signals' contributions, stacked to the score. */

import { element } from '../dom.js';
import { number, score } from '../format.js';
import { label } from '../format.js';

/** Colours and patterns that there are for segments; more signals begin again. */
const SEGMENTS = 6;

/** @param {any} alert */
export function explanationPanel(alert) {
  const signals = alert.details.signals ?? [];
  const total = alert.details.score;
  const rows = signals.map(signalRow);
  const table = element(
    'table',
    { class: 'signals' },
    element('caption', { class: 'visually-hidden' }, 'Signals and what each adds to the score'),
    element('thead', {}, element('tr', {}, ['Signal', 'Adds', 'Value × weight', 'Measured', 'Threshold'].map((name, index) => element('th', { scope: 'col', class: index > 0 ? 'numeric' : null }, name)))),
    element('tbody', {}, rows),
    element('tfoot', {}, element('tr', {}, element('th', { scope: 'row' }, 'Score'), element('td', { class: 'numeric' }, score(total)), element('td', { colspan: 3, class: 'muted' }, alert.details.method ? `Method: ${alert.details.method}` : ''))),
  );
  return element('section', { class: 'panel' }, element('h2', {}, 'Why'), stack(signals, total), element('div', { class: 'scroll', tabindex: 0, role: 'group', 'aria-label': 'Signals' }, table));
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
function signalRow(signal, index) {
  const name = element('th', { scope: 'row' }, element('span', { class: `swatch segment-${index % SEGMENTS}` }), label(signal.name), signal.text ? element('span', { class: 'second' }, signal.text) : null);
  return element('tr', {}, name, [score(signal.contribution), `${score(signal.score)} × ${score(signal.weight)}`, number(signal.raw_value), number(signal.threshold)].map((text) => element('td', { class: 'numeric' }, text)));
}
