/** One finding: its explanation, its pictures, and everything one can do about it with undo. */

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { api, expectNoProblems, findingOf, openPage, visit } from './world.mjs';

const SOURCE = '10.20.0.6';

/** @param {import('playwright-core').Page} page @param {string} [source] */
async function open(page, source = SOURCE) {
  const finding = await findingOf(source);
  await visit(page, `#/findings/${finding.alert_id}`);
  return finding;
}

/** @param {import('playwright-core').Page} page @param {string} name */
const badge = (page, name) => page.locator('.headline .badge', { hasText: name });

test('the contributions of the signals add up to the log-odds of the score', async () => {
  const page = await openPage();
  const finding = await open(page);
  const adds = await page.locator('.signals tbody tr td:nth-child(2)').allInnerTexts();
  assert.ok(adds.length >= 3);
  const values = adds.map((text) => Number(text.replace('−', '-')));
  const sum = values.reduce((total, value) => total + value, 0);
  const { score } = finding.details;
  assert.ok(Math.abs(sum - Math.log(score / (1 - score))) < 0.005 * (adds.length + 1), `${adds} against ${score}`);
  const bars = await page.evaluate(() => [...document.querySelectorAll('.balance')].map((balance) => {
    const [frame, bar] = [balance, balance.firstElementChild].map((one) => one.getBoundingClientRect());
    return { right: bar.left + bar.width / 2 >= frame.left + frame.width / 2, share: (2 * bar.width) / frame.width };
  }));
  const largest = Math.max(...values.map(Math.abs));
  for (const [index, bar] of bars.entries()) {
    assert.ok(Math.abs(bar.share - Math.abs(values[index]) / largest) < 0.02, `bar ${index}: ${bar.share} for ${values[index]}`);
    if (Math.abs(values[index]) > 0.05) assert.equal(bar.right, values[index] > 0, `bar ${index} lies on the wrong side`);
  }
  assert.equal(bars.length, adds.length);
  const evidence = page.locator('section.panel', { has: page.getByRole('heading', { name: 'Evidence', exact: true }) });
  assert.match(await evidence.innerText(), /p-value[\s\S]*× 10⁻[\s\S]*Next beat/);
  assert.ok((await page.locator('.description').innerText()).length > 20);
  await page.context().close();
  expectNoProblems();
});

test('beats, intervals and spectrum are drawn, and can be read without the picture', async () => {
  const page = await openPage();
  const finding = await open(page);
  const { series } = await api(`alerts/${finding.alert_id}`);
  assert.equal(series.times.length, 150);
  for (const name of ['Beats over time', 'Intervals', 'Spectrum']) {
    const panel = page.locator('section.chart', { has: page.getByRole('heading', { name, exact: true }) });
    await panel.locator('canvas').waitFor();
    assert.ok((await coloursIn(panel.locator('canvas'))) > 2, `${name} is empty`);
    await panel.getByRole('img').focus();
    await page.keyboard.press('ArrowRight');
    await page.waitForFunction((text) => text.textContent.length > 3, await panel.locator('.readout').elementHandle());
    await page.keyboard.press('End');
    await panel.getByText('Data as a table').click();
    await panel.locator('details tbody tr').nth(3).waitFor();
  }
  const beats = page.locator('section.chart').first();
  assert.equal(await beats.locator('details tbody tr').count(), 150);
  await page.context().close();
  expectNoProblems();
});

test('a drag zooms into the beats and the button shows all again', async () => {
  const page = await openPage();
  await open(page);
  const over = page.locator('section.chart .u-over').first();
  await over.scrollIntoViewIfNeeded();
  const box = await over.boundingBox();
  assert.ok(box);
  await page.mouse.move(box.x + box.width * 0.3, box.y + 40);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.6, box.y + 40, { steps: 5 });
  await page.mouse.up();
  const reset = page.getByRole('button', { name: 'Reset zoom' });
  await reset.click();
  await reset.waitFor({ state: 'hidden' });
  await page.context().close();
  expectNoProblems();
});

test('acknowledging is undone beside the message and from the history', async () => {
  const page = await openPage({ signedIn: true });
  await open(page);
  const actions = page.getByRole('group', { name: 'Actions' });
  await actions.getByRole('button', { name: 'Acknowledge' }).click();
  await badge(page, 'Acknowledged').waitFor();
  await page.locator('.toast').getByRole('button', { name: 'Undo' }).click();
  await badge(page, 'Acknowledged').waitFor({ state: 'hidden' });
  await actions.getByRole('button', { name: 'Acknowledge' }).click();
  await badge(page, 'Acknowledged').waitFor();
  await page.locator('.history').getByRole('button', { name: 'Undo Acknowledged' }).click();
  await badge(page, 'Acknowledged').waitFor({ state: 'hidden' });
  await actions.getByRole('button', { name: 'Acknowledge' }).click();
  await actions.getByRole('button', { name: 'Take back acknowledgement' }).click();
  await badge(page, 'Acknowledged').waitFor({ state: 'hidden' });
  await page.context().close();
  expectNoProblems();
});

test('a comment becomes part of the history', async () => {
  const page = await openPage({ signedIn: true });
  await open(page);
  await page.getByRole('button', { name: 'Comment …' }).click();
  await page.getByRole('button', { name: 'Cancel' }).click();
  await page.getByRole('button', { name: 'Comment …' }).click();
  await page.getByRole('textbox', { name: 'Comment' }).fill('seen <i>before</i>\nin May');
  await page.getByRole('button', { name: 'Add comment' }).click();
  await page.locator('.history').getByText('seen <i>before</i>').waitFor();
  await page.context().close();
  expectNoProblems();
});

test('closing and reopening undo each other', async () => {
  const page = await openPage({ signedIn: true });
  await open(page);
  const actions = page.getByRole('group', { name: 'Actions' });
  await actions.getByRole('button', { name: 'Close' }).click();
  await badge(page, 'Closed').waitFor();
  await page.locator('.toast').getByRole('button', { name: 'Undo' }).click();
  await badge(page, 'Open').waitFor();
  await actions.getByRole('button', { name: 'Close' }).click();
  await badge(page, 'Closed').waitFor();
  await page.locator('.history').getByRole('button', { name: 'Undo Closed' }).click();
  await badge(page, 'Open').waitFor();
  await actions.getByRole('button', { name: 'Close' }).click();
  await actions.getByRole('button', { name: 'Reopen' }).click();
  await badge(page, 'Open').waitFor();
  await page.context().close();
  expectNoProblems();
});

test('suppressing has an end, and is undone', async () => {
  const page = await openPage({ signedIn: true });
  const { alert_id: id } = await open(page);
  const suppress = async () => {
    await page.getByRole('button', { name: 'Suppress …' }).click();
    await page.getByLabel('For').selectOption('8 hours');
    await page.getByRole('dialog').getByRole('button', { name: 'Suppress' }).click();
    await badge(page, 'Suppressed').waitFor();
  };
  await suppress();
  const { suppressed_until: until } = await api(`alerts/${id}`);
  const hours = (Date.parse(until) - Date.now()) / 3_600_000;
  assert.ok(hours > 7.9 && hours <= 8.1, `${hours} hours`);
  await page.locator('.toast').getByRole('button', { name: 'Undo' }).click();
  await badge(page, 'Suppressed').waitFor({ state: 'hidden' });
  await suppress();
  await page.getByRole('button', { name: 'End suppression' }).click();
  await badge(page, 'Suppressed').waitFor({ state: 'hidden' });
  await page.context().close();
  expectNoProblems();
});

test('allowing shows what would go before it goes, and is undone', async () => {
  const page = await openPage({ signedIn: true });
  const { alert_id: id } = await open(page);
  await page.getByRole('button', { name: 'Allow …' }).click();
  const dialog = page.getByRole('dialog');
  assert.equal(await dialog.getByLabel('Source').inputValue(), SOURCE);
  assert.equal(await dialog.getByLabel('Port', { exact: true }).inputValue(), '443');
  assert.equal(await dialog.getByLabel('Process').inputValue(), 'updater');
  await dialog.getByRole('button', { name: 'Preview' }).click();
  await dialog.getByText('1 finding', { exact: false }).waitFor();
  await dialog.getByText(`${SOURCE} → 203.0.113.10:443/tcp`).waitFor();
  assert.equal((await api(`alerts/${id}`)).allowed, null, 'a preview allowed it');
  await dialog.getByLabel('Source').fill('10.99.0.0/16');
  await dialog.getByRole('button', { name: 'Preview' }).click();
  await dialog.getByText('0 findings').waitFor();
  await dialog.getByLabel('Source').fill(SOURCE);
  await dialog.getByRole('button', { name: 'Preview' }).click();
  await dialog.getByLabel('Reason').fill('vendor updates');
  await dialog.getByRole('button', { name: 'Allow', exact: true }).click();
  await badge(page, 'Allowed').waitFor();
  await page.locator('.toast').getByRole('button', { name: 'Undo' }).click();
  await badge(page, 'Allowed').waitFor({ state: 'hidden' });
  assert.equal((await api('allow')).entries.some((entry) => entry.reason === 'vendor updates'), false);
  await page.context().close();
  expectNoProblems();
});

test('where each document went is told', async () => {
  const page = await openPage();
  const finding = await open(page);
  const { deliveries } = await api(`alerts/${finding.alert_id}`);
  assert.ok(deliveries.length > 0);
  for (const { event_id: eventId } of deliveries) await page.locator('.deliveries').getByText(eventId).first().waitFor();
  await page.context().close();
});

/** @param {import('playwright-core').Locator} canvas Number of different colours. */
function coloursIn(canvas) {
  return canvas.evaluate((node) => {
    const { data } = node.getContext('2d').getImageData(0, 0, node.width, node.height);
    return new Set(new Uint32Array(data.buffer)).size;
  });
}
