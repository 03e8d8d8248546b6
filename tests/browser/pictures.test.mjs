/** Pictures of the page, for the documentation and for people to look at: only when a folder is named. */

import { mkdirSync } from 'node:fs';
import { test } from 'node:test';
import { PAGES } from './pages.test.mjs';
import { findingOf, openPage, PICTURES, visit } from './world.mjs';

const SIZES = /** @type {const} */ ({
  light: { theme: 'light', width: 1440, height: 900 },
  dark: { theme: 'dark', width: 1440, height: 900 },
  phone: { theme: 'light', width: 360, height: 740, scale: 2 },
  wide: { theme: 'dark', width: 3840, height: 2160 },
});

test('pictures of every view', { skip: !PICTURES }, async () => {
  mkdirSync(String(PICTURES), { recursive: true });
  const { alert_id: id } = await findingOf('10.20.0.6');
  for (const [size, options] of Object.entries(SIZES)) {
    const page = await openPage(options);
    for (const [hash, name] of [...PAGES, [`#/findings/${id}`, 'Finding']]) {
      await visit(page, hash);
      await page.locator('.pill', { hasText: /^Live$/ }).waitFor();
      await page.screenshot({ path: `${PICTURES}/${name.toLowerCase().replaceAll(' ', '-')}-${size}.png`, fullPage: name === 'Finding' });
    }
    await page.context().close();
  }
});
