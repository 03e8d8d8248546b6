/**
 * Draws dashboards from their panels' definitions and a store's answers: panels.mjs ANSWERS FOLDER.
 *
 * ANSWERS is JSON: [{dashboard, panels: [{title, drawing, place, groups, columns, rows}]}]. A picture of each dashboard goes
 * to FOLDER. It is a stand-in: neither Kibana nor OpenSearch Dashboards draws here, and the picture says so.
 */

import { mkdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const [answersFile, folder] = process.argv.slice(2);
const modules = createRequire(String(process.env.BEACONWATCH_TEST_MODULES));
const { chromium } = modules('playwright-core');
const dashboards = JSON.parse(readFileSync(answersFile, 'utf8'));

const COLOURS = ['#54b399', '#d36086', '#6092c0', '#9170b8', '#ca8eae', '#d6bf57', '#b9a888', '#da8b45', '#aa6556', '#e7664c'];
const SEVERITIES = { critical: '#bd271e', high: '#da8b45', medium: '#d6bf57', low: '#54b399' };
const ROW = 20;
/** Widest bar: a single bucket is no wall. */
const WIDEST = 48;
const COLUMN = 30;

const escape = (text) => String(text ?? '').replace(/[&<>"]/g, (c) => `&#${c.charCodeAt(0)};`);
const colour = (name, number) => SEVERITIES[name] ?? COLOURS[number % COLOURS.length];

function shown(value, column) {
  if (value === null || value === undefined) return '–';
  if (typeof value === 'number') {
    if (/seen|record$|time/i.test(column) && value > 1e11) return new Date(value).toISOString().slice(0, 19).replace('T', ' ');
    return Math.abs(value) > 0 && Math.abs(value) < 0.001 ? value.toExponential(1) : String(Math.round(value * 1000) / 1000);
  }
  if (Array.isArray(value)) return value.join(', ');
  return String(value).replace(/^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d).*/, '$1 $2');
}

function number({ columns, rows }) {
  return `<div class="number"><b>${escape(shown(rows[0]?.at(-1), columns.at(-1)))}</b><span>${escape(columns.at(-1))}</span></div>`;
}

function table({ columns, rows }) {
  const head = columns.map((it) => `<th>${escape(it)}</th>`).join('');
  const body = rows.map((row) => `<tr>${row.map((it, at) => `<td>${escape(shown(it, columns[at]))}</td>`).join('')}</tr>`).join('');
  return `<div class="scroll"><table><thead><tr>${head}</tr></thead><tbody>${body}</tbody></table></div>`;
}

function legend(names) {
  const items = names.map((it, at) => `<li><i style="background:${colour(it, at)}"></i>${escape(it)}</li>`);
  return `<ul class="legend">${items.join('')}</ul>`;
}

function shares({ rows }) {
  const total = rows.reduce((sum, row) => sum + row[1], 0) || 1;
  let from = 0;
  const slices = rows.map(([name, size], at) => {
    const part = size / total;
    const arc = `<circle r="60" cx="90" cy="90" fill="none" stroke-width="34" stroke="${colour(name, at)}" pathLength="1"
      stroke-dasharray="${part} 1" stroke-dashoffset="${-from}"/>`;
    from += part;
    return arc;
  });
  return `<div class="pie"><svg width="180" height="180">${slices.join('')}</svg>${legend(rows.map(([name, size]) => `${name}`))}</div>`;
}

/** Series by name: [x, y] pairs. */
function series({ columns, rows, groups, kinds }) {
  const measures = columns.slice(groups);
  const time = kinds.indexOf('time') >= 0 ? kinds.indexOf('time') : groups - 1;
  const split = groups === 2 ? 1 - time : -1;
  const all = new Map();
  for (const row of rows) {
    measures.forEach((measure, at) => {
      const name = split >= 0 ? row[split] : measure;
      if (!all.has(name)) all.set(name, []);
      const x = typeof row[time] === 'number' ? row[time] : Date.parse(row[time]);
      const y = row[groups + at];
      if (y !== null) all.get(name).push([x, y]);
    });
  }
  return all;
}

/** The least number at or above `most` that reads well, and halves well. */
function roundUp(most, whole) {
  if (whole && most <= 1) return 1;
  const power = 10 ** Math.floor(Math.log10(most));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((it) => it * power).find((it) => it >= most * (1 - 1e-9) && !(whole && it % 2)) ?? most;
}

function axes(panel, width, height, stacked) {
  const all = series(panel);
  const xs = [...new Set([...all.values()].flat().map(([x]) => x))].sort((a, b) => a - b);
  if (!xs.length) return '<p class="nothing">no values</p>';
  const totals = xs.map((x) => [...all.values()].map((points) => points.find(([at]) => at === x)?.[1] ?? 0));
  const most = Math.max(1e-9, ...totals.map((values) => (stacked ? values.reduce((a, b) => a + b, 0) : Math.max(...values))));
  const whole = totals.flat().every(Number.isInteger);
  const top = roundUp(most, whole);
  const [left, bottom, right] = [54, 24, 150];
  const [w, h] = [width - left - right, height - bottom - 12];
  const step = xs.length > 1 ? Math.min(...xs.slice(1).map((x, at) => x - xs[at])) : 1;
  const span = xs.at(-1) - xs[0] + step;
  const px = (x) => left + ((x - xs[0]) / span) * w;
  const py = (y) => 8 + h - (y / top) * h;
  const marks = [];
  if (stacked) {
    const base = new Map(xs.map((x) => [x, 0]));
    [...all].forEach(([name, points], number_) => {
      for (const [x, y] of points) {
        const from = base.get(x);
        const slot = (step / span) * w;
        const wide = Math.min(WIDEST, Math.max(2, slot - 2));
        marks.push(`<rect x="${px(x) + (slot - wide) / 2}" y="${py(from + y)}" width="${wide}"
          height="${py(from) - py(from + y)}" fill="${colour(name, number_)}"/>`);
        base.set(x, from + y);
      }
    });
  } else {
    [...all].forEach(([name, points], number_) => {
      const ordered = points.sort((a, b) => a[0] - b[0]);
      const line = ordered.map(([x, y]) => `${px(x) + ((step / span) * w) / 2},${py(y)}`);
      marks.push(`<polyline points="${line.join(' ')}" fill="none" stroke-width="2" stroke="${colour(name, number_)}"/>`);
      for (const at of line) {
        const [x, y] = at.split(',');
        marks.push(`<circle cx="${x}" cy="${y}" r="3" fill="${colour(name, number_)}"/>`);
      }
    });
  }
  const ticks = (whole && top === 1 ? [0, 1] : [0, 0.5, 1]).map((part) => `<text x="${left - 6}" y="${py(top * part) + 4}" text-anchor="end">${shown(top * part, '')}</text>
    <line x1="${left}" x2="${left + w}" y1="${py(top * part)}" y2="${py(top * part)}" stroke="#e0e5ee"/>`);
  const isTime = xs[0] > 1e11;
  const label = (x) => (isTime ? new Date(x).toISOString().slice(11, 19) : String(x));
  const middle = `<text x="${left + w / 2}" y="${height - 8}" text-anchor="middle">${label(xs[0])}</text>`;
  const ends = [xs[0], xs.at(-1)].map((x, at) => `<text x="${at ? left + w : left}" y="${height - 8}" text-anchor="${at ? 'end' : 'start'}">${label(x)}</text>`);
  const feet = xs.length === 1 ? [middle] : ends;
  return `<div class="chart"><svg width="${width - right}" height="${height - 8}">${ticks.join('')}${marks.join('')}${feet.join('')}</svg>${legend([...all.keys()])}</div>`;
}

function drawn(panel) {
  const [, , w, h] = panel.place;
  const [width, height] = [w * COLUMN - 24, h * ROW - 40];
  if (!panel.rows.length) return '<p class="nothing">no values</p>';
  switch (panel.drawing) {
    case 'lnsMetric': return number(panel);
    case 'lnsPie': return shares(panel);
    case 'lnsXY': return axes(panel, width, height, panel.series !== 'line');
    default: return table(panel);
  }
}

const STYLE = `
  body { margin: 0; font: 12px/1.4 "Inter", "Noto Sans", sans-serif; color: #343741; background: #f7f8fc; width: 1464px; }
  h1 { font-size: 18px; margin: 14px 16px 0; } .note { margin: 2px 16px 10px; color: #69707d; }
  main { position: relative; margin: 0 12px; }
  section { position: absolute; box-sizing: border-box; background: #fff; border: 1px solid #d3dae6; border-radius: 6px; overflow: hidden; padding: 6px 8px; }
  h2 { font-size: 12px; margin: 0 0 4px; } .nothing { color: #98a2b3; text-align: center; margin-top: 30px; }
  .number { text-align: right; padding: 8px; } .number b { display: block; font-size: 34px; } .number span { color: #69707d; }
  table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: 3px 8px; border-bottom: 1px solid #eef1f7; max-width: 420px; vertical-align: top; }
  .chart, .pie { display: flex; align-items: flex-start; } text { font-size: 11px; fill: #69707d; }
  .legend { list-style: none; margin: 6px 0 0 6px; padding: 0; width: 140px; } .legend li { overflow-wrap: anywhere; } .legend i { display: inline-block; width: 10px; height: 10px; border-radius: 2px; margin-right: 5px; }`;

function page({ dashboard, panels }) {
  const bottom = Math.max(...panels.map(({ place: [, y, , h] }) => (y + h) * ROW));
  const sections = panels.map((panel) => {
    const [x, y, w, h] = panel.place;
    const box = `left:${x * COLUMN}px;top:${y * ROW}px;width:${w * COLUMN - 8}px;height:${h * ROW - 8}px`;
    return `<section style="${box}"><h2>${escape(panel.title)}</h2>${drawn(panel)}</section>`;
  });
  return `<!doctype html><meta charset="utf-8"><style>${STYLE}</style><h1>${escape(dashboard)}</h1>
    <p class="note">Drawn by the project's own renderer from the panels' definitions and a store's answers. This is not a picture of Kibana.</p>
    <main style="height:${bottom}px">${sections.join('')}</main>`;
}

mkdirSync(folder, { recursive: true });
const browser = await chromium.launch({
  executablePath: process.env.BEACONWATCH_TEST_CHROMIUM,
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
const tab = await browser.newPage({ viewport: { width: 1464, height: 900 } });
for (const dashboard of dashboards) {
  await tab.setContent(page(dashboard));
  const name = dashboard.dashboard.toLowerCase().replace(/[^a-z]+/g, '-').replace(/^-|-$/g, '');
  await tab.screenshot({ path: `${folder}/${name}.png`, fullPage: true });
}
await browser.close();
