/** Severity, state and kind of a finding: each by text and shape, so that colour is never the only sign. */

import { drawing, element } from '../dom.js';

/** Shapes differ in outline, not only in colour: octagon, triangle, diamond, circle. */
const SEVERITY_SHAPES = {
  critical: 'M5 1h6l4 4v6l-4 4H5l-4-4V5z',
  high: 'M8 1.5 15 14H1z',
  medium: 'M8 1l7 7-7 7-7-7z',
  low: 'M8 2a6 6 0 1 1 0 12A6 6 0 0 1 8 2z',
};

/** @param {unknown} value */
export function severityBadge(value) {
  const name = String(value ?? 'unknown');
  const known = Object.hasOwn(SEVERITY_SHAPES, name);
  const shape = known ? drawing(SEVERITY_SHAPES[/** @type {keyof typeof SEVERITY_SHAPES} */ (name)]) : null;
  return element('span', { class: `severity severity-${known ? name : 'low'}` }, shape, capital(name));
}

/**
 * What a finding is: open, closed, and what was said about it.
 * @param {any} alert
 */
export function stateBadges(alert) {
  const badges = [badge(alert.state === 'closed' ? 'Closed' : 'Open', alert.state === 'closed' ? 'quiet' : 'strong')];
  if (alert.acknowledged) badges.push(badge('Acknowledged', 'good'));
  if (alert.allowed) badges.push(badge('Allowed', 'good'));
  if (isSuppressed(alert)) badges.push(badge('Suppressed', 'quiet'));
  if (alert.simulated) badges.push(badge('Simulated', 'quiet'));
  return element('span', { class: 'badges' }, badges);
}

/** @param {any} alert */
export function isSuppressed(alert) {
  return Boolean(alert.suppressed_until) && new Date(alert.suppressed_until) > new Date();
}

/** @param {string} text @param {'strong' | 'good' | 'quiet' | 'bad' | 'warn'} tone */
export function badge(text, tone) {
  return element('span', { class: `badge badge-${tone}` }, text);
}

/** @param {string} word */
export function capital(word) {
  return word.charAt(0).toUpperCase() + word.slice(1).replaceAll('_', ' ');
}
