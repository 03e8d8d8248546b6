/**
 * The browser, and what no test may do: run a script that is not ours, break the content security policy, or talk to anyone but the sidecar.
 *
 * Everything is told by the environment, which `tests/tests/browser.rs` sets: see `setting`.
 */

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

/** @param {string} name */
function setting(name) {
  const value = process.env[`BEACONWATCH_TEST_${name}`];
  if (!value) throw new Error(`BEACONWATCH_TEST_${name} is not set: run this by cargo test --test browser`);
  return value;
}

const require = createRequire(setting('MODULES'));
const { chromium } = require('playwright-core');
const axeSource = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

/** Where the sidecar answers, without a slash at the end. */
export const BASE = setting('URL');
export const OTLP = setting('OTLP_URL');
export const REFUSING_PORT = Number(setting('REFUSING_PORT'));
export const TOKEN = readFileSync(setting('TOKEN_FILE'), 'utf8').trim();
/** A sidecar that wants a token for everything: its address, and who may only read or all. */
export const CLOSED = { base: setting('CLOSED_URL'), read: setting('READ_TOKEN'), operate: readFileSync(setting('CLOSED_TOKEN_FILE'), 'utf8').trim() };
/** Where pictures go; none are made without it. */
export const PICTURES = process.env.BEACONWATCH_TEST_PICTURES;

const FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'];
const WAIT_MS = 20_000;

/** @type {import('playwright-core').Browser} */
let browser;
/** What went wrong in any page since the last look. @type {string[]} */
const problems = [];

export async function openBrowser() {
  browser = await chromium.launch({ executablePath: setting('CHROMIUM'), args: FLAGS });
}

export async function closeBrowser() {
  await browser.close();
}

/** Fails when any page did what none may do. */
export function expectNoProblems() {
  assert.deepEqual(problems.splice(0), []);
}

/**
 * A page of its own session. With `signedIn` it has the token already.
 * @param {{signedIn?: boolean, theme?: 'light' | 'dark', width?: number, height?: number, scale?: number, origin?: string}} [options]
 */
export async function openPage({ signedIn = false, theme = 'light', width = 1440, height = 900, scale = 1, origin = BASE } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: theme, deviceScaleFactor: scale, reducedMotion: 'reduce' });
  const page = await context.newPage();
  page.setDefaultTimeout(WAIT_MS);
  await context.addInitScript((token) => {
    if (token && location.protocol === 'http:') sessionStorage.setItem('beaconwatch.token', token);
    document.addEventListener('securitypolicyviolation', (event) => console.error(`POLICY ${event.violatedDirective} ${event.blockedURI}`));
  }, signedIn ? TOKEN : null);
  page.on('pageerror', (error) => problems.push(`error in the page: ${error.stack}`));
  page.on('dialog', (dialog) => problems.push(`a script opened a dialog: ${dialog.message()}`));
  page.on('console', (message) => {
    if (/POLICY|Content Security Policy/i.test(message.text())) problems.push(message.text());
  });
  context.on('request', (request) => {
    if (new URL(request.url()).origin !== origin) problems.push(`a request to ${request.url()}`);
  });
  return page;
}

/**
 * Goes to a view and waits until it has its data.
 * @param {import('playwright-core').Page} page @param {string} hash
 */
export async function visit(page, hash) {
  const loaded = new URL(page.url() === 'about:blank' ? BASE : page.url()).hash;
  if (page.url() === 'about:blank') await page.goto(`${BASE}/${hash}`);
  else if (loaded !== hash) await page.evaluate((to) => (location.hash = to), hash);
  await settled(page);
}

/** @param {import('playwright-core').Page} page */
export async function settled(page) {
  await page.locator('h1').first().waitFor();
  await page.waitForFunction(() => !document.querySelector('.state-loading, [aria-busy]'));
}

/**
 * Violations of accessibility rules, as text; none is an empty list.
 * @param {import('playwright-core').Page} page
 */
export async function violations(page) {
  await page.evaluate(axeSource);
  return page.evaluate(async () => {
    const { violations: found } = await window.axe.run(document, { runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] });
    return found.map((one) => `${one.id}: ${one.nodes.map((node) => `${node.target} ${node.failureSummary}`).join(' | ')}`);
  });
}

/** @param {string} path @param {RequestInit} [init] */
export async function api(path, init = {}) {
  const headers = { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' };
  const response = await fetch(`${BASE}/api/v1/${path}`, { ...init, headers });
  const text = await response.text();
  assert.ok(response.ok, `${path}: ${response.status} ${text}`);
  return text === '' ? null : JSON.parse(text);
}

/**
 * Looks until there is something.
 * @template T
 * @param {string} what @param {() => Promise<T | null | undefined | false>} look
 * @returns {Promise<T>}
 */
export async function waitFor(what, look) {
  const deadline = Date.now() + WAIT_MS;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`waited ${WAIT_MS / 1000} s in vain for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** The finding of a source address. @param {string} source */
export function findingOf(source) {
  return waitFor(`a finding of ${source}`, async () => (await api(`alerts?source=${encodeURIComponent(source)}`)).alerts[0]);
}
