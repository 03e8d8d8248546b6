/**
 * The browser tests, in one process and in this order: later ones change what earlier ones look at.
 * `tests/tests/browser.rs` starts the sidecar and this.
 */

import { after, before } from 'node:test';
import { feed, standardBeats } from './feed.mjs';
import { startRefusing } from './refusing.mjs';
import { closeBrowser, findingOf, openBrowser } from './world.mjs';

/** @type {Awaited<ReturnType<typeof startRefusing>>} */
let refusing;

before(async () => {
  refusing = await startRefusing();
  const beats = standardBeats();
  await feed(beats);
  await openBrowser();
  for (const { source, count, benign } of beats) if (count > 2 && !benign) await findingOf(source);
});

after(async () => {
  await closeBrowser();
  refusing.close();
});

await import('./pictures.test.mjs');
await import('./pages.test.mjs');
await import('./finding.test.mjs');
await import('./lists.test.mjs');
await import('./session.test.mjs');
await import('./access.test.mjs');
