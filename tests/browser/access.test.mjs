/** For everyone: the keyboard alone, the rules of axe on every view in both themes, and names that would like to be scripts. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HOSTILE } from './feed.mjs';
import { PAGES } from './pages.test.mjs';
import { BASE, expectNoProblems, findingOf, openPage, settled, violations, visit } from './world.mjs';

/** A hundred rows break no other rules than six, and take long to look at. */
const VIEWS = PAGES.map(([hash, name]) => [hash === '#/connections' ? '#/connections?source=10.20.0.0%2F16' : hash, name]);
/** More presses of Tab than any way here needs. */
const MAX_TABS = 80;

test('everything is done by the keyboard alone, and the focus is always seen', async () => {
  const page = await openPage({ signedIn: true });
  await page.goto(BASE);
  await settled(page);
  await page.keyboard.press('Tab');
  assert.equal(await focused(page), 'Skip to content');
  await page.keyboard.press('Enter');
  assert.equal(await page.evaluate(() => document.activeElement?.id), 'content');
  await tabTo(page, /10\.20\.0\.6/);
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { level: 1, name: /10\.20\.0\.6/ }).waitFor();
  await settled(page);
  assert.equal(await page.evaluate(() => document.activeElement?.tagName), 'H1');
  await tabTo(page, /^Acknowledge/);
  await page.keyboard.press('Enter');
  await page.getByRole('button', { name: 'Take back acknowledgement' }).waitFor();
  assert.equal(await focused(page), 'Take back acknowledgement', 'the focus was lost');
  await page.keyboard.press('Enter');
  await page.getByRole('button', { name: 'Acknowledge', exact: true }).waitFor();
  await tabTo(page, /^Allow …/);
  await page.keyboard.press('Enter');
  for (let press = 0; press < 30; press += 1) {
    await page.keyboard.press('Tab');
    const outside = await page.evaluate(() => document.activeElement !== document.body && !document.activeElement?.closest('dialog'));
    assert.equal(outside, false, 'Tab leaves an open dialog');
  }
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'hidden' });
  await page.waitForFunction(() => document.activeElement?.textContent === 'Allow …');
  await page.context().close();
  expectNoProblems();
});

for (const theme of /** @type {const} */ (['light', 'dark'])) {
  test(`no view breaks a rule of accessibility in the ${theme} theme`, async () => {
    const page = await openPage({ theme, signedIn: true });
    const { alert_id: id } = await findingOf('10.20.0.6');
    const found = [];
    for (const [hash, name] of [...VIEWS, [`#/findings/${id}`, 'One finding'], ['#/findings?process=nobody', 'No finding'], ['#/findings?source=nonsense', 'An error']]) {
      await visit(page, hash);
      found.push(...(await violations(page)).map((text) => `${name}: ${text}`));
    }
    await visit(page, `#/findings/${id}`);
    await page.getByRole('button', { name: 'Allow …' }).click();
    await page.getByRole('button', { name: 'Preview' }).click();
    await page.locator('.effect ul').waitFor();
    found.push(...(await violations(page)).map((text) => `Allow: ${text}`));
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('button', { name: 'Sign in' }).click();
    found.push(...(await violations(page)).map((text) => `Sign in: ${text}`));
    await page.context().close();
    assert.deepEqual(found, []);
    expectNoProblems();
  });
}

test('no view breaks a rule of accessibility on a phone', async () => {
  const page = await openPage({ width: 360, height: 740 });
  const { alert_id: id } = await findingOf('10.20.0.6');
  const found = [];
  for (const [hash, name] of [...VIEWS, [`#/findings/${id}`, 'One finding']]) {
    await visit(page, hash);
    found.push(...(await violations(page)).map((text) => `${name}: ${text}`));
  }
  await visit(page, '#/findings');
  await page.getByRole('button', { name: 'Filters' }).click();
  await page.getByLabel('Severity').waitFor();
  await page.context().close();
  assert.deepEqual(found, []);
  expectNoProblems();
});

test('names that would be scripts are shown letter by letter and run nowhere', async () => {
  const page = await openPage({ signedIn: true });
  await page.addInitScript(() => {
    window.hacked = () => {
      document.title = 'hacked';
      console.error('POLICY a name was run');
    };
  });
  const { alert_id: id } = await findingOf('10.20.0.5');
  await visit(page, '#/findings');
  await page.getByText(HOSTILE.name).waitFor();
  await page.getByText(HOSTILE.server).waitFor();
  await visit(page, `#/findings/${id}`);
  await page.locator('.facts').getByText(HOSTILE.executable).waitFor();
  await page.locator('.facts').getByText(HOSTILE.host).waitFor();
  await page.getByRole('button', { name: 'Allow …' }).click();
  await page.getByRole('button', { name: 'Preview' }).click();
  await page.waitForFunction(() => [...document.querySelectorAll('.effect, .problem')].some((one) => one.textContent !== ''));
  await page.keyboard.press('Escape');
  for (const [hash] of PAGES) await visit(page, hash);
  await visit(page, `#/findings/${encodeURIComponent(HOSTILE.name)}`);
  await visit(page, `#/findings?q=${encodeURIComponent(HOSTILE.name)}&sort=updated`);
  await settled(page);
  assert.equal(await page.evaluate(() => document.querySelectorAll('main img, main b, main script:not([src])').length), 0);
  assert.doesNotMatch(await page.title(), /hacked$/);
  await page.context().close();
  expectNoProblems();
});

/** What has the focus, in words. @param {import('playwright-core').Page} page */
function focused(page) {
  return page.evaluate(() => document.activeElement?.textContent?.trim() ?? '');
}

/**
 * Presses Tab until something with this text has the focus; on the way every stop must show that it has it.
 * @param {import('playwright-core').Page} page @param {RegExp} text
 */
async function tabTo(page, text) {
  for (let press = 0; press < MAX_TABS; press += 1) {
    await page.keyboard.press('Tab');
    const stop = await page.evaluate(() => {
      const node = document.activeElement;
      const style = node && getComputedStyle(node);
      return { name: node?.textContent?.trim() ?? '', what: node?.outerHTML.slice(0, 120), seen: style?.outlineStyle !== 'none' && parseFloat(style?.outlineWidth ?? '0') >= 2 };
    });
    assert.ok(stop.seen, `the focus is not seen on ${stop.what}`);
    if (text.test(stop.name)) return;
  }
  throw new Error(`no way by Tab to ${text}`);
}
