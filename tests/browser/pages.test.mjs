/** Every page, its filters, its order, its buttons. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BASE, expectNoProblems, openPage, settled, visit } from './world.mjs';

/** Address and heading of every page. */
export const PAGES = [
  ['#/findings', 'Findings'],
  ['#/connections', 'Connections'],
  ['#/hosts', 'Hosts'],
  ['#/series', 'Scored series'],
  ['#/long-connections?min_duration=600', 'Long connections'],
  ['#/allow', 'Allow-list'],
  ['#/destinations', 'Destinations'],
  ['#/dead-letters', 'Dead letters'],
  ['#/sensors', 'Sensors'],
  ['#/status', 'Status'],
];
const WIDTHS = [360, 768, 1024, 1201, 1280, 1440, 3840];

/** @param {import('playwright-core').Page} page */
const rows = (page) => page.locator('table.table tbody tr');

test('every page is reached from the navigation and shows its data', async () => {
  const page = await openPage();
  await page.goto(BASE);
  for (const [, name] of PAGES) {
    await page.getByRole('navigation', { name: 'Pages' }).getByRole('link', { name, exact: true }).click();
    await page.getByRole('heading', { level: 1, name }).waitFor();
    await settled(page);
    assert.equal(await page.locator('.state-error').count(), 0, `${name}: ${await page.locator('main').innerText()}`);
    assert.equal(await page.title(), `${name} · Beaconwatch`);
    assert.equal(await page.locator('[aria-current=page]').innerText(), name);
  }
  await page.context().close();
  expectNoProblems();
});

test('no page is wider than the screen, from a phone to 4K', async () => {
  for (const width of WIDTHS) {
    const page = await openPage({ width, height: 900 });
    for (const [hash, name] of PAGES) {
      await visit(page, hash);
      const beyond = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(beyond <= 0, `${name} is ${beyond} px too wide at ${width} px`);
    }
    await page.context().close();
  }
  expectNoProblems();
});

test('a host leads to its series, and what is benign says why', async () => {
  const page = await openPage();
  await visit(page, '#/hosts');
  const host = rows(page).filter({ has: page.getByRole('link', { name: '10.20.0.6', exact: true }) });
  assert.match(await host.innerText(), /probability \d\.\d\d/);
  await host.getByRole('link', { name: '10.20.0.6', exact: true }).click();
  await page.getByRole('heading', { level: 1, name: 'Scored series' }).waitFor();
  await settled(page);
  assert.equal(await rows(page).count(), 1);
  assert.match(await rows(page).innerText(), /203\.0\.113\.10:443/);
  await visit(page, '#/series?benign=true');
  const benign = rows(page).filter({ hasText: '169.254.169.254:80' });
  assert.match(await benign.innerText(), /Benign[\s\S]*metadata/);
  assert.equal(await rows(page).filter({ hasText: '203.0.113.10:443' }).count(), 0);
  await page.context().close();
  expectNoProblems();
});

test('an address that leads nowhere says so', async () => {
  const page = await openPage();
  await visit(page, '#/nothing');
  await page.getByRole('heading', { name: 'There is no such page' }).waitFor();
  await page.getByRole('link', { name: 'Go to the findings' }).click();
  await page.getByRole('heading', { level: 1, name: 'Findings' }).waitFor();
  await page.context().close();
});

test('a finding that does not exist gives the error and a way to try again', async () => {
  const page = await openPage();
  await visit(page, `#/findings/${'0'.repeat(32)}`);
  await page.locator('.state-error').waitFor();
  await page.getByRole('button', { name: 'Try again' }).click();
  await page.locator('.state-error').waitFor();
  await page.context().close();
  expectNoProblems();
});

test('filters narrow the findings, stand in the address, and are cleared', async () => {
  const page = await openPage();
  await visit(page, '#/findings');
  const all = await rows(page).count();
  assert.ok(all >= 5, `only ${all} findings`);
  await page.getByLabel('Source').fill('10.20.0.6/32');
  await page.getByText('1 of 1 findings').waitFor();
  assert.match(page.url(), /source=10.20.0.6%2F32/);
  await page.reload();
  await page.getByText('1 of 1 findings').waitFor();
  await page.getByLabel('Process').fill('no such process');
  await page.getByRole('heading', { name: 'Nothing matches' }).waitFor();
  await page.getByRole('button', { name: 'Clear filters' }).click();
  await page.getByText(`${all} of ${all} findings`).waitFor();
  await page.getByLabel('Destination').fill('203.0.113.10');
  await page.getByText('1 of 1 findings').waitFor();
  await page.getByRole('button', { name: 'Clear filters' }).click();
  await page.getByLabel('Search').fill('cdn.example');
  await page.getByText('1 of 1 findings').waitFor();
  await page.getByRole('button', { name: 'Clear filters' }).click();
  await page.getByLabel('State').selectOption('Closed');
  await page.getByRole('heading', { name: 'Nothing matches' }).waitFor();
  await page.getByLabel('State').selectOption('All');
  await page.getByText(`${all} of ${all} findings`).waitFor();
  await page.getByLabel('Simulated').selectOption('Only');
  await page.getByRole('heading', { name: 'Nothing matches' }).waitFor();
  await page.context().close();
  expectNoProblems();
});

test('a filter that the API refuses shows its sentence', async () => {
  const page = await openPage();
  await visit(page, '#/findings?source=nonsense');
  await page.locator('.state-error').waitFor();
  assert.match(await page.locator('.state-error').innerText(), /source/);
  await page.context().close();
});

test('findings are sorted by the column heads', async () => {
  const page = await openPage();
  await visit(page, '#/findings');
  for (const name of ['Score', 'Opened', 'Severity', 'Updated']) {
    await page.getByRole('columnheader', { name }).getByRole('button').click();
    await page.locator('th[aria-sort=descending]', { hasText: name }).waitFor();
    await settled(page);
  }
  await page.getByRole('columnheader', { name: 'Score' }).getByRole('button').click();
  await page.waitForFunction(() => location.hash.includes('sort=score'));
  await settled(page);
  const scores = await page.locator('table.table tbody td:nth-child(2) .value').allInnerTexts();
  assert.deepEqual(scores, [...scores].sort().reverse());
  await page.context().close();
  expectNoProblems();
});

test('connections are read page by page, sorted and filtered', async () => {
  const page = await openPage();
  await visit(page, '#/connections');
  assert.equal(await rows(page).count(), 100);
  await page.getByRole('button', { name: 'Show more' }).click();
  await page.waitForFunction(() => document.querySelectorAll('table.table tbody tr').length > 120);
  assert.equal(await page.getByRole('button', { name: 'Show more' }).count(), 0);
  for (const name of ['Over', 'Last seen', 'Connections']) {
    await page.getByRole('columnheader', { name }).getByRole('button').click();
    await page.locator('th[aria-sort=descending]', { hasText: name }).waitFor();
    await settled(page);
  }
  await page.getByLabel('Port').fill('8443');
  await page.getByText('1 of 1 pairs').waitFor();
  await page.getByRole('button', { name: 'Refresh' }).click();
  await page.getByText('1 of 1 pairs').waitFor();
  await page.context().close();
  expectNoProblems();
});

test('long connections are those that last at least so long', async () => {
  const page = await openPage();
  await visit(page, '#/long-connections');
  const hours = await rows(page).count();
  assert.ok(hours >= 4 && hours < 20, `${hours} pairs of an hour`);
  await page.getByLabel('Lasting at least').selectOption('1 day');
  await page.getByRole('heading', { name: 'No connections' }).waitFor();
  await page.getByLabel('Lasting at least').selectOption('1 minute');
  await page.waitForFunction(() => document.querySelectorAll('table.table tbody tr').length > 20);
  await page.context().close();
  expectNoProblems();
});

test('sensors and the status of every part are shown', async () => {
  const page = await openPage();
  await visit(page, '#/sensors');
  await page.getByRole('cell', { name: /b0b0b0/ }).first().waitFor();
  await visit(page, '#/status');
  await page.getByRole('heading', { name: 'Detector' }).waitFor();
  await page.getByText('Observations').waitFor();
  await page.context().close();
  expectNoProblems();
});

test('a theme that was chosen is remembered', async () => {
  const page = await openPage({ theme: 'light' });
  await visit(page, '#/findings');
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await ground();
  await page.getByLabel('Theme').selectOption('Dark');
  const dark = await ground();
  assert.notEqual(light, dark);
  await page.reload();
  await settled(page);
  assert.equal(await ground(), dark);
  assert.equal(await page.getByLabel('Theme').inputValue(), 'dark');
  await page.getByLabel('Theme').selectOption('System');
  assert.equal(await ground(), light);
  await page.emulateMedia({ colorScheme: 'dark' });
  assert.equal(await ground(), dark);
  await page.context().close();
  expectNoProblems();
});
