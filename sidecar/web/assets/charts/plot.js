/**
 * uPlot in the page's colours, as wide as its place, with what a picture alone would keep from some readers: a summary,
 * arrow keys that walk from point to point and say each, and the data as a table.
 */

import { element, replace } from '../dom.js';
import { THEME_EVENT } from '../theme.js';
import uPlot from '../vendor/uPlot.esm.js';

/** Pixels of the root's text that heights and axes here are meant for; a larger text enlarges them. */
const USUAL_TEXT_PX = 14;
/** Rows of the table beside a chart; a browser is slow with more. */
const MAX_ROWS = 512;

/**
 * @typedef {object} Chart
 * @property {string} title
 * @property {string} explanation One sentence below the title.
 * @property {string} summary For who cannot see the picture.
 * @property {number} height
 * @property {[number[], ...(number | null)[][]]} data
 * @property {(colours: Colours) => Record<string, any>} options What uPlot wants, without size.
 * @property {(index: number) => string} say A point in words.
 * @property {string[]} columns Heads of the table.
 * @property {(index: number) => string[]} row
 *
 * @typedef {Record<'text' | 'line' | 'accent' | 'second' | 'surface', string>} Colours
 */

/**
 * @param {Chart} chart
 * @returns {{node: HTMLElement, destroy: () => void}}
 */
export function plotPanel(chart) {
  const host = element('div', { class: 'plot', tabindex: 0, role: 'img', 'aria-label': `${chart.title}: ${chart.summary} Arrow keys go from point to point.` });
  const readout = element('p', { class: 'readout', role: 'status' });
  const reset = element('button', { type: 'button', class: 'small', hidden: true }, 'Reset zoom');
  const node = element('section', { class: 'panel chart' }, element('div', { class: 'card-head' }, element('h2', {}, chart.title), reset), element('p', { class: 'muted' }, chart.explanation), host, readout, dataTable(chart));
  /** @type {any} */
  let plot = null;
  const draw = () => {
    plot?.destroy();
    plot = new /** @type {any} */ (uPlot)(settings(chart, host, readout, reset), chart.data, host);
  };
  const observer = new ResizeObserver(() => {
    if (host.clientWidth === 0) return;
    if (plot) plot.setSize({ width: host.clientWidth, height: chart.height * enlargement() });
    else draw();
  });
  observer.observe(host);
  host.addEventListener('keydown', (/** @type {KeyboardEvent} */ event) => plot && walk(event, plot));
  reset.addEventListener('click', () => {
    plot?.setData(chart.data, true);
    host.focus();
  });
  document.addEventListener(THEME_EVENT, draw);
  return {
    node,
    destroy() {
      document.removeEventListener(THEME_EVENT, draw);
      observer.disconnect();
      plot?.destroy();
    },
  };
}

/**
 * @param {Chart} chart @param {HTMLElement} host @param {HTMLElement} readout @param {HTMLElement} reset
 */
function settings(chart, host, readout, reset) {
  const own = chart.options(coloursOf(host));
  const tell = (/** @type {any} */ plot) => {
    const index = plot.cursor.idx;
    replace(readout, index === null || index === undefined ? '' : chart.say(index));
  };
  const zoomed = (/** @type {any} */ plot) => {
    const { min, max } = plot.scales.x;
    const [xs] = chart.data;
    reset.hidden = !(min > xs[0] || max < xs[xs.length - 1]);
  };
  const hooks = { ...own.hooks, setCursor: [tell], setScale: [(/** @type {any} */ plot, /** @type {string} */ key) => key === 'x' && zoomed(plot)] };
  return { ...own, width: host.clientWidth, height: chart.height * enlargement(), legend: { show: false }, hooks };
}

/** @param {KeyboardEvent} event @param {any} plot */
function walk(event, plot) {
  const last = plot.data[0].length - 1;
  const at = plot.cursor.idx ?? -1;
  const places = { ArrowLeft: Math.max(0, at - 1), ArrowRight: Math.min(last, at + 1), Home: 0, End: last };
  if (!Object.hasOwn(places, event.key) || last < 0) return;
  event.preventDefault();
  const index = places[/** @type {keyof typeof places} */ (event.key)];
  plot.setCursor({ left: plot.valToPos(plot.data[0][index], 'x'), top: plot.bbox.height / devicePixelRatio / 2 });
}

/** The theme's colours as the canvas wants them. @param {HTMLElement} host @returns {Colours} */
function coloursOf(host) {
  const probe = element('span', { hidden: true });
  host.append(probe);
  const read = (/** @type {string} */ name) => {
    probe.style.color = `var(--${name})`;
    return getComputedStyle(probe).color;
  };
  const colours = { text: read('muted'), line: read('grid'), accent: read('chart'), second: read('chart-second'), surface: read('surface') };
  probe.remove();
  return colours;
}

/** How much larger than usual the page's text is. */
export function enlargement() {
  return parseFloat(getComputedStyle(document.documentElement).fontSize) / USUAL_TEXT_PX;
}

/** Axes in the theme's colours. @param {Colours} colours @param {Record<string, any>} [more] */
export function axis({ text, line }, more = {}) {
  const scale = enlargement();
  const font = `${12 * scale}px system-ui, sans-serif`;
  const { size = 34, side, ...others } = more;
  return { stroke: text, font, size: size * scale, gap: 5 * scale, space: (more.side ? 30 : 60) * scale, grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1, size: 5 }, ...others };
}

/** @param {Chart} chart */
function dataTable(chart) {
  const size = chart.data[0].length;
  const details = element('details', { class: 'data' }, element('summary', {}, `Data as a table`, element('span', { class: 'visually-hidden' }, `: ${chart.title}`)));
  // Built when it is wanted: charts are redrawn more often than tables are read.
  details.addEventListener('toggle', () => {
    if (!details.open || details.querySelector('table')) return;
    const first = Math.max(0, size - MAX_ROWS);
    const rows = Array.from({ length: size - first }, (_, index) => element('tr', {}, chart.row(first + index).map((text) => element('td', {}, text))));
    const head = element('thead', {}, element('tr', {}, chart.columns.map((name) => element('th', { scope: 'col' }, name))));
    details.append(element('div', { class: 'scroll', tabindex: 0, role: 'group', 'aria-label': chart.title }, element('table', {}, element('caption', { class: 'visually-hidden' }, chart.title), head, element('tbody', {}, rows))));
  });
  return details;
}
