/** The three pictures of a series: its beats over time, how its intervals spread, and its spectrum. */

import { element } from '../dom.js';
import { count, duration, localTime, percent } from '../format.js';
import { axis, plotPanel } from './plot.js';

const BEATS_HEIGHT = 260;
const SMALL_HEIGHT = 220;
const TICK_PX = 10;
const MINUTE = 60;
const HOUR = 3600;
const DAY = 86_400;
/** Steps of an axis of durations in seconds: those that people count in. */
const STEPS_S = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY, 30 * DAY];
/** Ticks of a logarithmic one. */
const DECADES_S = [0.001, 0.01, 0.1, 1, 10, MINUTE, 10 * MINUTE, HOUR, 6 * HOUR, DAY, 7 * DAY, 30 * DAY];

/** @param {string} title @param {string} text */
function nothing(title, text) {
  return { node: element('section', { class: 'panel chart' }, element('h2', {}, title), element('p', { class: 'muted' }, text)), destroy() {} };
}

/** @param {number} seconds Unix time. */
const clock = (seconds) => localTime(new Date(seconds * 1000));

/**
 * Each connection as a tick on the time axis, and as a point as high as the time since the one before.
 * @param {any} series @param {number | null} interval_s
 */
export function beatsPanel(series, interval_s) {
  /** @type {number[]} */
  const times = series.times ?? [];
  if (times.length < 2) return nothing('Beats over time', 'Too few connections for a picture.');
  const gaps = times.map((time, index) => (index === 0 ? null : time - times[index - 1]));
  const text = (/** @type {number} */ index) => (gaps[index] === null ? 'first that is kept' : `${duration(gaps[index])} after the one before`);
  return plotPanel({
    title: 'Beats over time',
    explanation: 'A tick for each connection, and a point as high as the time since the one before. The dashed line is the interval that was found. Drag to zoom.',
    summary: `${count(times.length)} connections from ${clock(times[0])} to ${clock(times[times.length - 1])}; the middle interval is ${duration(interval_s)}.`,
    height: BEATS_HEIGHT,
    data: [times, gaps],
    options: (colours) => ({
      cursor: { y: false, drag: { x: true, y: false } },
      scales: { x: { time: true }, y: { range: (/** @type {any} */ _plot, /** @type {number} */ _low, /** @type {number} */ high) => [0, Math.max(high ?? 1, (interval_s ?? 0) * 1.4) * 1.08] } },
      axes: [axis(colours, { size: 46, values: clocks }), axis(colours, { side: true, size: 64, values: evenDurations, incrs: STEPS_S })],
      series: [{}, { paths: () => null, points: { show: true, size: 6, width: 1, stroke: colours.accent, fill: colours.accent } }],
      hooks: { draw: [(/** @type {any} */ plot) => drawTicks(plot, times, colours.accent), (/** @type {any} */ plot) => interval_s && drawLine(plot, 'y', interval_s, colours.second)] },
    }),
    say: (index) => `${clock(times[index])}: ${text(index)}`,
    columns: ['Time', 'Since the one before'],
    row: (index) => [clock(times[index]), duration(gaps[index])],
  });
}

/** @param {any} series @param {number | null} interval_s */
export function histogramPanel(series, interval_s) {
  /** @type {{edges_s: number[], counts: number[]}} */
  const { edges_s: given = [], counts = [] } = series.intervals ?? {};
  if (counts.length === 0) return nothing('Intervals', 'Too few intervals for a histogram.');
  // Intervals that are all the same are one bin without a width.
  const edges = given[0] < given[given.length - 1] ? given : [given[0] * 0.99, given[0] * 1.01];
  const middles = counts.map((_, index) => (edges[index] + edges[index + 1]) / 2);
  const total = counts.reduce((sum, value) => sum + value, 0);
  const bin = (/** @type {number} */ index) => `${duration(edges[index])} to ${duration(edges[index + 1])}`;
  const best = counts.indexOf(Math.max(...counts));
  return plotPanel({
    title: 'Intervals',
    explanation: 'How often each time between two connections occurs.',
    summary: `${count(total)} intervals; most (${percent(counts[best] / total)}) last ${bin(best)}.`,
    height: SMALL_HEIGHT,
    data: [middles, counts],
    options: (colours) => ({
      cursor: { y: false, points: { show: false }, drag: { x: true, y: false } },
      scales: { x: { time: false, range: (/** @type {any} */ _plot, /** @type {number} */ low, /** @type {number} */ high) => (low === middles[0] && high === middles[middles.length - 1] ? [edges[0], edges[edges.length - 1]] : [low, high]) }, y: { range: (/** @type {any} */ _plot, /** @type {number} */ _low, /** @type {number} */ high) => [0, (high || 1) * 1.08] } },
      axes: [axis(colours, { values: evenDurations, incrs: STEPS_S }), axis(colours, { side: true, size: 50, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500] })],
      series: [{}, { paths: () => null, points: { show: false } }],
      hooks: { draw: [(/** @type {any} */ plot) => drawBars(plot, edges, counts, colours.accent), (/** @type {any} */ plot) => interval_s && drawLine(plot, 'x', interval_s, colours.second)] },
    }),
    say: (index) => `${bin(index)}: ${count(counts[index])} (${percent(counts[index] / total)})`,
    columns: ['Interval', 'Count', 'Share'],
    row: (index) => [bin(index), count(counts[index]), percent(counts[index] / total)],
  });
}

/** @param {any} series @param {number | null} interval_s */
export function spectrumPanel(series, interval_s) {
  const { period_s: given = [], power = [] } = series.spectrum ?? {};
  if (given.length < 2) return nothing('Spectrum', 'Too few connections for a spectrum.');
  const order = given.map((/** @type {number} */ _, /** @type {number} */ index) => index).sort((/** @type {number} */ a, /** @type {number} */ b) => given[a] - given[b]);
  const periods = order.map((/** @type {number} */ index) => given[index]);
  const powers = order.map((/** @type {number} */ index) => power[index]);
  const best = powers.indexOf(Math.max(...powers));
  return plotPanel({
    title: 'Spectrum',
    explanation: 'How strongly the connections repeat at each period. A beacon is a sharp peak.',
    summary: `The strongest period is ${duration(periods[best])}.`,
    height: SMALL_HEIGHT,
    data: [periods, powers],
    options: (colours) => ({
      cursor: { y: false, drag: { x: true, y: false } },
      scales: { x: { time: false, distr: 3, range: (/** @type {any} */ _plot, /** @type {number} */ low, /** @type {number} */ high) => [low, high] }, y: { range: (/** @type {any} */ _plot, /** @type {number} */ _low, /** @type {number} */ high) => [0, (high || 1) * 1.08] } },
      axes: [axis(colours, { values: durations, splits: decades, filter: all }), axis(colours, { side: true, size: 50 })],
      series: [{}, { stroke: colours.accent, width: 1.5, points: { show: false } }],
      hooks: { draw: [(/** @type {any} */ plot) => interval_s && drawLine(plot, 'x', interval_s, colours.second)] },
    }),
    say: (index) => `Period ${duration(periods[index])}: power ${powers[index].toPrecision(3)}`,
    columns: ['Period', 'Power'],
    row: (index) => [duration(periods[index]), powers[index].toPrecision(3)],
  });
}

/** Labels of an axis of seconds. @param {any} _plot @param {(number | null)[]} splits */
function durations(_plot, splits) {
  return splits.map((value) => (value === null ? '' : duration(value)));
}

/**
 * Labels in even steps. Where a step is no whole number of minutes, all are in seconds: 115 s, 120 s and not 115 s, 2 min.
 * @param {any} plot @param {(number | null)[]} splits
 */
function evenDurations(plot, splits) {
  const values = splits.filter((value) => value !== null);
  const step = values.length > 1 ? values[1] - values[0] : MINUTE;
  const inSeconds = step >= 1 && step % MINUTE !== 0 && values.every((value) => value < 1000);
  if (!inSeconds) return durations(plot, splits);
  return splits.map((value) => (value === null ? '' : `${Math.round(value)} s`));
}

/** Labels of an axis of time: the day stands below the first hour of each. @param {any} _plot @param {number[]} splits */
function clocks(_plot, splits) {
  let before = '';
  return splits.map((value) => {
    const [day, hours] = clock(value).split(' ');
    const text = day === before ? hours : `${hours}\n${day}`;
    before = day;
    return text.replace(/^(\d\d:\d\d):00/, '$1');
  });
}

/** @param {any} _plot @param {number} _axis @param {number} low @param {number} high */
function decades(_plot, _axis, low, high) {
  return DECADES_S.filter((value) => value >= low && value <= high);
}

/** @param {any} _plot @param {number[]} splits */
function all(_plot, splits) {
  return splits;
}

/** Draws inside the plotting area. @param {any} plot @param {(context: CanvasRenderingContext2D) => void} draw */
function clipped(plot, draw) {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  draw(ctx);
  ctx.restore();
}

/** @param {any} plot @param {number[]} times @param {string} colour */
function drawTicks(plot, times, colour) {
  clipped(plot, (context) => {
    const bottom = plot.bbox.top + plot.bbox.height;
    context.fillStyle = colour;
    for (const time of times) {
      context.fillRect(Math.round(plot.valToPos(time, 'x', true)), bottom - TICK_PX * devicePixelRatio, devicePixelRatio, TICK_PX * devicePixelRatio);
    }
  });
}

/** @param {any} plot @param {number[]} edges @param {number[]} counts @param {string} colour */
function drawBars(plot, edges, counts, colour) {
  clipped(plot, (context) => {
    const zero = plot.valToPos(0, 'y', true);
    context.fillStyle = colour;
    counts.forEach((value, index) => {
      const left = plot.valToPos(edges[index], 'x', true);
      const right = plot.valToPos(edges[index + 1], 'x', true);
      const top = plot.valToPos(value, 'y', true);
      context.fillRect(left, top, Math.max(1, right - left - devicePixelRatio), zero - top);
    });
  });
}

/** @param {any} plot @param {'x' | 'y'} scale @param {number} value @param {string} colour */
function drawLine(plot, scale, value, colour) {
  clipped(plot, (context) => {
    const { left, top, width, height } = plot.bbox;
    const at = Math.round(plot.valToPos(value, scale, true));
    context.strokeStyle = colour;
    context.lineWidth = 1.5 * devicePixelRatio;
    context.setLineDash([6 * devicePixelRatio, 4 * devicePixelRatio]);
    context.beginPath();
    if (scale === 'y') {
      context.moveTo(left, at);
      context.lineTo(left + width, at);
    } else {
      context.moveTo(at, top);
      context.lineTo(at, top + height);
    }
    context.stroke();
  });
}
