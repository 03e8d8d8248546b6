/**
 * Draws each view of the Splunk app by the components that Dashboard Studio is made of, in headless Chromium and without Splunk.
 *
 * `node run.mjs MODULES CHROMIUM APP FOLDER [DETECTIONS]`: the package.json beside the installed packages, the browser, the app, where
 * pictures and the bundle go, and optionally a file of detections (NDJSON) instead of the day that `documents.mjs` makes up.
 *
 * Each search is answered by `search.mjs`. Fails on a definition that the schema refuses, a panel or input that shows an error, one that has
 * nothing to show, a request to anywhere, and a script's error.
 */

import assert from 'node:assert/strict';
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { day } from './documents.mjs';
import { answer, event } from './search.mjs';

const [modules, chromiumPath, app, folder, detections] = process.argv.slice(2);
assert.ok(folder, 'node run.mjs MODULES CHROMIUM APP FOLDER [DETECTIONS]');
const require = createRequire(modules);
const { chromium } = require('playwright-core');
const esbuild = require('esbuild');
const Ajv = require('ajv').default;

const FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
const WAIT_MS = 60_000;
const WIDTH = 1440;
/** Of what stands above the panels. */
const INPUTS_HEIGHT = 90;
/** What the page asks the server of Splunk's pages for, and a time input needs: who is signed in, and named times. */
const SPLUNK_WEB = {
  '/services/authentication/current-context': { entry: [{ content: { capabilities: [], roles: [], tz: 'UTC', username: 'analyst' } }] },
  '/data/ui/times': { entry: [] },
};
/** What a panel without data says. */
const NOTHING_TO_SHOW = ['No results found', 'No search results returned', 'N/A'];
/** Nothing but these may be empty: a place where the made-up day has nothing, and why. */
const MAY_BE_EMPTY = detections ? /./ : /^$/;
const TO_S = Date.parse('2025-11-22T12:00:00Z') / 1000;

/** Macros of the app, by name. */
function macros() {
  const text = readFileSync(join(app, 'default/macros.conf'), 'utf8');
  const all = [...text.matchAll(/^\[(\w+)\]\ndefinition = (.+)$/gm)].map(([, name, definition]) => [name, definition]);
  // All documents are of the one index.
  return { ...Object.fromEntries(all), beaconwatch_index: '*' };
}

function events() {
  const made = day(TO_S);
  if (!detections) return made;
  const lines = readFileSync(detections, 'utf8').split('\n').filter(Boolean).map((line) => JSON.parse(line));
  const real = lines.map((one) => event(one, { _time: Date.parse(one['@timestamp']) / 1000, sourcetype: `beaconwatch:${one.data_stream.dataset.split('.')[1]}`, delivery_lag_s: 0.5 }));
  return real.sort((a, b) => a._time - b._time);
}

/** The view's definition with test data, and how many panels have none. @param {string} file */
function prepared(file) {
  const [, text] = /<definition><!\[CDATA\[(.*?)\]\]><\/definition>/s.exec(readFileSync(file, 'utf8')) ?? [];
  const definition = JSON.parse(text);
  const all = events();
  const to = detections ? all.at(-1)._time + 1 : TO_S;
  const from = detections ? Math.min(all[0]._time, to - 3600) : TO_S - 24 * 3600;
  const known = macros();
  const tokens = Object.fromEntries(Object.values(definition.inputs).map((input) => [input.options.token, input.options.defaultValue]));
  const empty = [];
  for (const [name, source] of Object.entries(definition.dataSources)) {
    const query = source.options.query.replace(/\$(\w+)\$/g, (/** @type {string} */ _all, /** @type {string} */ token) => {
      assert.ok(token in tokens, `${file}: ${name}: no input sets the token ${token}`);
      return tokens[token];
    });
    const data = answer(query, all, known, { from, to });
    if (!(data.columns[0]?.length > 0)) empty.push(`${name}: ${query}`);
    definition.dataSources[name] = { type: 'ds.test', name: source.name, options: { data } };
  }
  assert.deepEqual(refused(definition), [], `${file}: options`);
  delete definition.defaults;
  assert.deepEqual(empty.filter((name) => !MAY_BE_EMPTY.test(name)), [], `${file}: panels without data`);
  return definition;
}

/** The option schemas that Splunk publishes with its visualizations, by type. */
function schemas() {
  const ajv = new Ajv({ strict: false, logger: false, allErrors: true });
  const names = ['Column', 'Line', 'Pie', 'SingleValue', 'Table'];
  const configs = names.map((name) => require(`@splunk/visualizations/${name}.config.js`).default);
  return new Map(configs.map(({ key, optionsSchema }) => [key, ajv.compile({ type: 'object', properties: optionsSchema, additionalProperties: false })]));
}

/** Options that the schemas refuse. @param {any} definition */
function refused(definition) {
  const known = schemas();
  return Object.entries(definition.visualizations).flatMap(([name, { type, options }]) => {
    const check = known.get(type);
    if (!check) return [`${name}: no schema of ${type}`];
    return check(options) ? [] : (check.errors ?? []).map((error) => `${name}${error.instancePath}: ${error.message} ${JSON.stringify(error.params)}`);
  });
}

async function bundle() {
  const outfile = join(folder, 'page.js');
  const here = dirname(fileURLToPath(import.meta.url));
  await esbuild.build({
    entryPoints: [join(here, 'page.jsx')],
    bundle: true,
    outfile,
    nodePaths: [join(dirname(modules), 'node_modules')],
    define: { global: 'window', 'process.env.NODE_ENV': '"production"' },
    loader: { '.png': 'dataurl', '.svg': 'dataurl', '.woff': 'dataurl', '.woff2': 'dataurl' },
    logLevel: 'error',
  });
  return readFileSync(outfile, 'utf8');
}

/** @param {import('playwright-core').Browser} browser @param {string} script @param {string} file */
async function draw(browser, script, file) {
  const definition = prepared(join(app, 'default/data/ui/views', file));
  const height = Math.max(...definition.layout.structure.map((/** @type {any} */ { position }) => position.y + position.h));
  const pageHeight = height + INPUTS_HEIGHT;
  const context = await browser.newContext({ viewport: { width: WIDTH, height: pageHeight }, reducedMotion: 'reduce', timezoneId: 'UTC', locale: 'en-US' });
  const page = await context.newPage();
  const problems = /** @type {string[]} */ ([]);
  page.on('pageerror', (error) => problems.push(`error: ${error.message}`));
  page.on('console', (message) => message.type() === 'error' && problems.push(`console: ${message.text().slice(0, 500)}`));
  await page.route('**', (route) => {
    if (route.request().url() === 'http://studio.test/') return route.fulfill({ contentType: 'text/html', body: '<!doctype html><html lang="en"><title>Studio</title><body style="margin:0"><div id="page"></div></body></html>' });
    const own = Object.entries(SPLUNK_WEB).find(([path]) => new URL(route.request().url()).pathname.endsWith(path));
    if (own) return route.fulfill({ json: own[1] });
    problems.push(`request to ${route.request().url()}`);
    return route.abort();
  });
  await page.goto('http://studio.test/');
  await page.evaluate(([made, tall]) => Object.assign(globalThis, { $C: { LOCALE: 'en-US', SERVER_ZONEINFO: '### SERIALIZED TIMEZONE FORMAT 1.0;C0;Y0 NW 55 54 43;$', SPLUNKD_PATH: '/splunkd/__raw' }, definition: made, pageHeight: tall }), /** @type {const} */ ([definition, pageHeight]));
  await page.addScriptTag({ content: script });
  const panels = Object.keys(definition.visualizations);
  await page.getByText(definition.visualizations[panels[0]].title, { exact: true }).first().waitFor({ timeout: WAIT_MS }).catch(() => problems.push('no panel is drawn'));
  await page.waitForTimeout(2500);
  const shown = await page.locator('body').innerText();
  const errors = await page.locator('[data-test="error-message"], [data-test*="visualization-error"], [data-test="message-element"][type="error"], [data-test-type="error"]').allInnerTexts();
  const wrong = await page.evaluate(() => globalThis.wrong);
  await page.screenshot({ path: join(folder, file.replace('.xml', '.png')) });
  writeFileSync(join(folder, file.replace('.xml', '.txt')), shown);
  for (const { title } of Object.values(definition.visualizations)) if (!shown.includes(title)) problems.push(`${title} is not shown`);
  for (const empty of NOTHING_TO_SHOW) if (!detections && shown.includes(empty)) problems.push(`a panel says ${empty}`);
  assert.deepEqual({ errors, wrong, problems }, { errors: [], wrong: [], problems: [] }, file);
  await context.close();
  console.log(`${file}: ${panels.length} panels`);
}

const script = await bundle();
const browser = await chromium.launch({ executablePath: chromiumPath, args: FLAGS });
try {
  const views = readdirSync(join(app, 'default/data/ui/views')).filter((name) => name.endsWith('.xml'));
  assert.ok(views.length >= 4);
  for (const view of views) await draw(browser, script, view);
  console.log(`${views.length} views drawn`);
} finally {
  await browser.close();
}
