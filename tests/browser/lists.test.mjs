/** The allow-list, the destinations and the dead letters: every button, and what the API holds afterwards. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { api, expectNoProblems, openPage, visit, waitFor } from './world.mjs';

test('an entry of the allow-list is added with a preview, removed, and brought back', async () => {
  const page = await openPage({ signedIn: true });
  await visit(page, '#/allow');
  await page.getByRole('button', { name: 'Add entry …' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('button', { name: 'Preview' }).click();
  await dialog.getByText('Fill in at least one condition.').waitFor();
  await dialog.getByLabel('Source').fill('not an address');
  await dialog.getByRole('button', { name: 'Preview' }).click();
  await dialog.locator('.problem', { hasText: /source/ }).waitFor();
  await dialog.getByLabel('Source').fill('10.30.0.0/16');
  await dialog.getByRole('button', { name: 'Preview' }).click();
  await dialog.locator('.effect').waitFor();
  await dialog.getByLabel('Reason').fill('lab <b>machines</b>');
  await dialog.getByLabel('Owner').fill('lab team');
  await dialog.getByLabel('Expires').selectOption('In 7 days');
  await dialog.getByRole('button', { name: 'Allow', exact: true }).click();
  const row = page.getByRole('row', { name: /10\.30\.0\.0\/16/ });
  await row.getByText('lab <b>machines</b>').first().waitFor();
  await row.getByRole('button', { name: 'Remove' }).click();
  await row.waitFor({ state: 'hidden' });
  assert.equal(await entries('lab team'), 0);
  await page.locator('.toast', { hasText: 'Removed' }).getByRole('button', { name: 'Undo' }).click();
  await row.waitFor();
  assert.equal(await entries('lab team'), 1);
  await row.getByRole('button', { name: 'Remove' }).click();
  await row.waitFor({ state: 'hidden' });
  await page.context().close();
  expectNoProblems();
});

test('an address with conditions, as other products link to, opens the dialog with them and allows nothing by itself', async () => {
  const page = await openPage({ signedIn: true });
  await visit(page, '#/allow?source=10.31.0.9&destination=2001%3Adb8%3A%3A7&port=443&transport=tcp&nonsense=1');
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('button', { name: 'Preview' }).waitFor();
  assert.equal(await dialog.getByLabel('Source').inputValue(), '10.31.0.9');
  assert.equal(await dialog.getByLabel('Destination').inputValue(), '2001:db8::7');
  assert.equal(await dialog.getByLabel('Port', { exact: true }).inputValue(), '443');
  assert.ok(page.url().endsWith('#/allow'), page.url());
  await dialog.getByRole('button', { name: 'Cancel' }).click();
  await dialog.waitFor({ state: 'hidden' });
  assert.equal((await api('allow')).entries.filter((/** @type {any} */ entry) => entry.source === '10.31.0.9').length, 0);
  await page.context().close();
  expectNoProblems();
});

test('an entry of the configuration is shown and cannot be removed here', async () => {
  const page = await openPage();
  await visit(page, '#/allow');
  const row = page.getByRole('row', { name: /updates of the test/ });
  await row.getByText('In the file').waitFor();
  assert.equal(await row.getByRole('button').count(), 0);
  await page.context().close();
});

test('destinations are tested, and show what they would be sent', async () => {
  const page = await openPage({ signedIn: true });
  await visit(page, '#/destinations');
  const file = page.getByRole('article', { name: 'file' });
  await file.getByText('Working').waitFor();
  await file.getByRole('button', { name: 'Show test document' }).click();
  await page.getByRole('dialog').locator('pre').waitFor();
  assert.ok((await page.getByRole('dialog').locator('pre').innerText()).length > 50);
  await page.getByRole('dialog').getByRole('button', { name: 'Close' }).click();
  await file.getByRole('button', { name: 'Send test' }).click();
  await page.locator('.toast', { hasText: 'took the test document' }).waitFor();
  const refusing = page.getByRole('article', { name: 'refusing' });
  await refusing.getByRole('button', { name: 'Send test' }).click();
  await page.locator('.toast', { hasText: 'refused the test document' }).waitFor();
  await page.getByRole('button', { name: 'Refresh' }).click();
  await refusing.getByText('Has dead letters').waitFor();
  await page.context().close();
  expectNoProblems();
});

test('dead letters are looked at, sent again and dropped', async () => {
  await waitFor('three dead letters', async () => (await api('dead-letters?destination=refusing')).total >= 3);
  const page = await openPage({ signedIn: true });
  await visit(page, '#/destinations');
  await page.getByRole('article', { name: 'refusing' }).getByRole('link', { name: /Dead letters/ }).click();
  await page.getByRole('heading', { level: 1, name: 'Dead letters' }).waitFor();
  const first = page.locator('table.table tbody tr').first();
  await first.getByRole('button', { name: 'Show' }).click();
  await page.getByRole('dialog').getByText('beaconwatch').first().waitFor();
  await page.getByRole('dialog').getByRole('button', { name: 'Close' }).click();
  const before = await total();
  await first.getByRole('button', { name: 'Drop …' }).click();
  await page.getByRole('button', { name: 'Cancel' }).click();
  await first.getByRole('button', { name: 'Drop …' }).click();
  await page.getByRole('button', { name: 'Drop for good' }).click();
  await page.locator('.toast', { hasText: '1 dropped.' }).waitFor();
  assert.equal(await total(), before - 1);
  await first.getByRole('button', { name: 'Send again' }).click();
  await page.locator('.toast', { hasText: '1 on the way again.' }).waitFor();
  // It is refused again.
  await waitFor('the letter to come back', async () => (await total()) === before - 1);
  await page.getByRole('button', { name: 'Send all again' }).click();
  await page.locator('.toast', { hasText: `${before - 1} on the way again.` }).waitFor();
  await waitFor('all to come back', async () => (await total()) === before - 1);
  await page.reload();
  await page.getByRole('button', { name: 'Drop all …' }).click();
  await page.getByRole('button', { name: 'Drop for good' }).click();
  await page.getByRole('heading', { name: 'No dead letters' }).waitFor();
  assert.equal(await total(), 0);
  await page.context().close();
  expectNoProblems();
});

async function total() {
  return (await api('dead-letters?destination=refusing')).total;
}

/** @param {string} owner */
async function entries(owner) {
  return (await api('allow')).entries.filter((entry) => entry.owner === owner).length;
}
