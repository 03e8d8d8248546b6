/** Numbers with units, and times. Everything takes what the API gives, also null, which is shown as a dash. */

import { element } from './dom.js';

export const NONE = '–';
const whole = new Intl.NumberFormat('en', { maximumFractionDigits: 0 });
/** @type {Record<string, string>} */
const SUPERSCRIPTS = { '-': '⁻', 0: '⁰', 1: '¹', 2: '²', 3: '³', 4: '⁴', 5: '⁵', 6: '⁶', 7: '⁷', 8: '⁸', 9: '⁹' };
const BYTE_UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];

/** @param {unknown} value @returns {value is number} */
function isNumber(value) {
  return typeof value === 'number' && Number.isFinite(value);
}

/** @param {unknown} value */
export function count(value) {
  return isNumber(value) ? whole.format(value) : NONE;
}

/** @param {unknown} value A share or score, 0 to 1. */
export function score(value) {
  // A score is never quite 1.
  if (!isNumber(value)) return NONE;
  return value > 0.99 && value < 1 ? (Math.floor(value * 1000) / 1000).toFixed(3) : value.toFixed(2);
}

/** @param {unknown} value A share, 0 to 1. */
export function percent(value) {
  if (!isNumber(value)) return NONE;
  const hundredfold = value * 100;
  return `${hundredfold.toFixed(Math.abs(hundredfold) < 10 ? 1 : 0)} %`;
}

/** @param {unknown} value A probability, which may be very small. */
export function probability(value) {
  if (!isNumber(value)) return NONE;
  if (value >= 0.01 || value <= 0) return value.toFixed(2);
  const [digits, exponent] = value.toExponential(1).split('e');
  return `${digits} × 10${[...exponent].map((sign) => SUPERSCRIPTS[sign] ?? '').join('')}`;
}

/** Three significant digits without an exponent. @param {number} value */
function short(value) {
  const size = Math.abs(value);
  if (size > 0 && size < 0.1) return String(Number(value.toPrecision(2)));
  return value.toFixed(size >= 100 ? 0 : size >= 10 ? 1 : 2).replace(/(\.\d*?)0+$/, '$1').replace(/\.$/, '');
}

/** @param {unknown} value A measured number without a unit. */
export function number(value) {
  if (!isNumber(value)) return NONE;
  return Math.abs(value) >= 1000 ? whole.format(value) : short(value);
}

/** @param {unknown} seconds */
export function duration(seconds) {
  if (!isNumber(seconds)) return NONE;
  const size = Math.abs(seconds);
  if (size === 0) return '0 s';
  if (size < 1) return `${short(seconds * 1e3)} ms`;
  if (size < 120) return `${short(seconds)} s`;
  if (size < 7200) return `${short(seconds / 60)} min`;
  if (size < 172_800) return `${short(seconds / 3600)} h`;
  return `${short(seconds / 86_400)} d`;
}

/** @param {unknown} value */
export function bytes(value) {
  if (!isNumber(value)) return NONE;
  let unit = 0;
  let rest = value;
  while (rest >= 1000 && unit < BYTE_UNITS.length - 1) {
    rest /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? whole.format(rest) : short(rest)} ${BYTE_UNITS[unit]}`;
}

/** @param {Date} date Local time, `2026-01-31 13:05:09`. */
export function localTime(date) {
  const two = (/** @type {number} */ part) => String(part).padStart(2, '0');
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/**
 * A time in the reader's zone; its title says it in UTC.
 * @param {string | null | undefined} text RFC 3339
 * @returns {Node}
 */
export function time(text) {
  const date = text ? new Date(text) : null;
  if (!date || Number.isNaN(date.getTime())) return document.createTextNode(NONE);
  const utc = `${date.toISOString().replace('T', ' ').replace(/\.\d+Z$/, '')} UTC`;
  const [day, clock] = localTime(date).split(' ');
  return element('time', { datetime: date.toISOString(), title: utc }, element('span', {}, day), ' ', element('span', {}, clock));
}

/** @param {string} address @param {number | null | undefined} port */
export function endpoint(address, port) {
  if (port === null || port === undefined) return address;
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

/** `last_analysis_s` is "Last analysis". @param {string} key */
export function label(key) {
  const words = key.replace(/_(s|seconds|bytes|ms)$/, '').replaceAll('_', ' ');
  return words.charAt(0).toUpperCase() + words.slice(1);
}
