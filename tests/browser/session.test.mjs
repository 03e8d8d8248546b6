/** Signing in when a change asks for it, staying live, and saying so when the connection is lost. */

import assert from 'node:assert/strict';
import net from 'node:net';
import { test } from 'node:test';
import { feed } from './feed.mjs';
import { BASE, CLOSED, expectNoProblems, findingOf, openPage, TOKEN, visit } from './world.mjs';

test('a change without a token asks for one, tells where it is, and goes on', async () => {
  const page = await openPage();
  const { alert_id: id } = await findingOf('10.20.0.7');
  await visit(page, `#/findings/${id}`);
  await page.getByRole('button', { name: 'Acknowledge' }).click();
  const dialog = page.getByRole('dialog', { name: 'Sign in' });
  await dialog.getByText('/api-token').waitFor();
  await dialog.getByLabel('Token').fill('wrong');
  await dialog.getByRole('button', { name: 'Sign in' }).click();
  await page.getByText('This token was not accepted.').waitFor();
  await dialog.getByLabel('Token').fill(TOKEN);
  await dialog.getByRole('button', { name: 'Sign in' }).click();
  await page.locator('.headline .badge', { hasText: 'Acknowledged' }).waitFor();
  const kept = await page.evaluate(() => [JSON.stringify(localStorage), JSON.stringify(sessionStorage), document.cookie]);
  assert.ok(!kept[0].includes(TOKEN) && kept[1].includes(TOKEN) && !kept[2].includes(TOKEN));
  await page.getByRole('button', { name: 'Take back acknowledgement' }).click();
  await page.getByRole('button', { name: 'Sign out' }).click();
  assert.ok(!(await page.evaluate(() => JSON.stringify(sessionStorage))).includes(TOKEN));
  await page.getByRole('button', { name: 'Acknowledge' }).click();
  await dialog.getByRole('button', { name: 'Cancel' }).click();
  await page.locator('.toast-bad').waitFor();
  await page.getByRole('button', { name: 'Sign in' }).click();
  await dialog.getByLabel('Token').fill(TOKEN);
  await dialog.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('button', { name: 'Sign out' }).waitFor();
  await page.context().close();
  expectNoProblems();
});

test('where reading needs a token, the page asks before it shows anything, and again for more rights', async () => {
  const page = await openPage({ origin: CLOSED.base });
  await page.goto(CLOSED.base);
  const dialog = page.getByRole('dialog', { name: 'Sign in' });
  await dialog.getByLabel('Token').fill(CLOSED.read);
  await dialog.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('heading', { name: 'No open findings' }).waitFor();
  await page.locator('.pill', { hasText: /^Live$/ }).waitFor();
  await page.getByRole('link', { name: 'Allow-list' }).click();
  await page.getByRole('button', { name: 'Add entry …' }).click();
  const allow = page.getByRole('dialog', { name: 'Allow' });
  await allow.getByLabel('Port', { exact: true }).fill('123');
  await allow.getByRole('button', { name: 'Preview' }).click();
  await dialog.getByText('This token may not do that.').waitFor();
  await dialog.getByLabel('Token').fill(CLOSED.operate);
  await dialog.getByRole('button', { name: 'Sign in' }).click();
  await allow.getByText('0 findings').waitFor();
  await page.keyboard.press('Escape');
  await page.context().close();
  expectNoProblems();
});

test('a new finding is counted without a reload, and nothing moves until it is asked for', async () => {
  const page = await openPage();
  await visit(page, '#/findings');
  await page.locator('.pill', { hasText: /^Live$/ }).waitFor();
  await page.evaluate(() => (window.notReloaded = true));
  const before = await page.locator('table.table tbody tr').allInnerTexts();
  await feed([{ source: '10.20.0.77', destination: '203.0.113.77', interval_s: 45, count: 100, process: { name: 'late' } }]);
  const news = page.getByRole('button', { name: /new finding/ });
  await news.waitFor();
  const subjects = (/** @type {string[]} */ rows) => rows.map((row) => row.split('\n')[2]);
  assert.deepEqual(subjects(await page.locator('table.table tbody tr').allInnerTexts()), subjects(before));
  await news.click();
  await page.getByRole('link', { name: /10\.20\.0\.77/ }).waitFor();
  assert.equal(await page.evaluate(() => window.notReloaded), true);
  await page.context().close();
  expectNoProblems();
});

test('an open finding follows what others do about it', async () => {
  const [mine, other] = [await openPage(), await openPage({ signedIn: true })];
  const { alert_id: id } = await findingOf('10.20.0.10');
  for (const page of [mine, other]) await visit(page, `#/findings/${id}`);
  await mine.locator('.pill', { hasText: /^Live$/ }).waitFor();
  await other.getByRole('button', { name: 'Acknowledge' }).click();
  await mine.locator('.headline .badge', { hasText: 'Acknowledged' }).waitFor();
  await other.getByRole('button', { name: 'Take back acknowledgement' }).click();
  await mine.locator('.headline .badge', { hasText: 'Acknowledged' }).waitFor({ state: 'hidden' });
  await mine.context().close();
  await other.context().close();
  expectNoProblems();
});

test('a lost connection is told, and the page comes back by itself', async () => {
  const link = await openLink();
  try {
    await loseAndRegain(link);
  } finally {
    await link.cut();
  }
  expectNoProblems();
});

/** @param {Awaited<ReturnType<typeof openLink>>} link */
async function loseAndRegain(link) {
  const page = await openPage({ origin: link.origin });
  const live = page.locator('.pill', { hasText: /^Live$/ });
  await page.goto(link.origin);
  await live.waitFor();
  await link.cut();
  await page.getByText('The connection to Beaconwatch is lost.').waitFor();
  await page.locator('.pill', { hasText: 'Not live' }).waitFor();
  await page.getByRole('link', { name: 'Sensors' }).click();
  await page.locator('.state-error').waitFor();
  await link.mend();
  await live.waitFor();
  await page.getByText('The connection to Beaconwatch is lost.').waitFor({ state: 'hidden' });
  await page.getByRole('cell', { name: /b0b0b0/ }).first().waitFor();
  await page.context().close();
}

/** A way to the sidecar that can be cut: connections end, and new ones are refused. */
async function openLink() {
  const { hostname, port } = new URL(BASE);
  /** @type {Set<net.Socket>} */
  const sockets = new Set();
  const server = net.createServer((near) => {
    const far = net.connect(Number(port), hostname);
    for (const [one, other] of [[near, far], [far, near]]) {
      sockets.add(one);
      one.on('error', () => other.destroy());
      one.on('close', () => {
        other.destroy();
        sockets.delete(one);
      });
      one.pipe(other);
    }
  });
  const listen = (/** @type {number} */ at) => new Promise((resolve) => server.listen(at, '127.0.0.1', () => resolve(undefined)));
  await listen(0);
  const own = /** @type {net.AddressInfo} */ (server.address()).port;
  return {
    origin: `http://127.0.0.1:${own}`,
    mend: () => listen(own),
    cut: () =>
      new Promise((resolve) => {
        server.close(resolve);
        for (const socket of sockets) socket.destroy();
      }),
  };
}
