/** Composes the page: API, store, stream, shell, and the view that the address names. */

import { Api } from './api.js';
import { announce, element, replace } from './dom.js';
import { follow } from './live.js';
import { askForToken } from './parts/sign-in.js';
import { errorState } from './parts/states.js';
import { currentRoute } from './router.js';
import { bindSkipLink, createShell, markPage } from './shell.js';
import { createStore } from './store.js';
import { allowView } from './views/allow.js';
import { connectionsView, longConnectionsView } from './views/connections.js';
import { deadLettersView } from './views/dead-letters.js';
import { destinationsView } from './views/destinations.js';
import { findingView } from './views/finding.js';
import { findingsView } from './views/findings.js';
import { hostsView } from './views/hosts.js';
import { sensorsView } from './views/sensors.js';
import { seriesView } from './views/series.js';
import { statusView } from './views/status.js';

const HEALTH_EVERY_MS = 15_000;

/**
 * @typedef {object} Context
 * @property {Api} api
 * @property {ReturnType<typeof createStore<import('./store.js').State>>} store
 *
 * @typedef {object} View
 * @property {string} title
 * @property {HTMLElement} node
 * @property {() => Promise<void>} load Reads anew; also called when a lost connection is back.
 * @property {(alert: any) => void} [onAlert] An alert was opened or changed.
 * @property {() => void} [dispose]
 *
 * @typedef {(context: Context, route: import('./router.js').Route) => View} MakeView
 */

/** @type {Record<string, MakeView>} */
const VIEWS = {
  findings: (context, route) => (route.parts.length > 1 ? findingView(context, route) : findingsView(context, route)),
  hosts: hostsView,
  series: seriesView,
  connections: connectionsView,
  'long-connections': longConnectionsView,
  allow: allowView,
  destinations: destinationsView,
  'dead-letters': deadLettersView,
  sensors: sensorsView,
  status: statusView,
};

/** @type {ReturnType<typeof createStore<import('./store.js').State>>} */
const store = createStore({ connection: 'connecting', health: null, counters: null, signedIn: false });
const api = new Api(askForToken, (signedIn) => store.set({ signedIn }));
store.set({ signedIn: Boolean(api.token) });
const content = /** @type {HTMLElement} */ (document.getElementById('content'));
/** @type {View | null} */
let view = null;

function showRoute(focus = true) {
  const route = currentRoute();
  const page = route.parts[0] ?? 'findings';
  view?.dispose?.();
  view = (VIEWS[page] ?? unknownView)({ api, store }, route);
  document.title = `${view.title} · Beaconwatch`;
  replace(content, view.node);
  markPage(page);
  window.scrollTo(0, 0);
  if (focus) focusHeading(view.title);
  void view.load();
}

/** A new view begins at its heading, also for who cannot see it. @param {string} title */
function focusHeading(title) {
  const heading = content.querySelector('h1');
  if (!heading) return;
  heading.tabIndex = -1;
  heading.focus({ preventScroll: true });
  announce(title);
}

/** @type {MakeView} */
function unknownView() {
  const home = element('a', { href: '#/findings' }, 'Go to the findings');
  const node = element('div', {}, element('h1', {}, 'There is no such page'), element('p', {}, home));
  return { title: 'Not found', node, load: async () => {} };
}

async function readHealth() {
  try {
    store.set({ health: await api.request('health', { ask: false }) });
  } catch {
    store.set({ health: null });
  }
}

/** @param {import('./live.js').ServerEvent} event */
function onEvent(event) {
  try {
    const data = JSON.parse(event.data);
    if (event.event === 'alert') view?.onAlert?.(data);
    // Events were missed: what is shown may be old.
    if (event.event === 'reset') void view?.load();
    if (event.event === 'status') store.set({ counters: data });
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
}

/** @param {'live' | 'lost'} state */
function onConnection(state) {
  const before = store.get().connection;
  store.set({ connection: state });
  if (before !== state) void readHealth();
  if (before === 'lost' && state === 'live') void view?.load();
}

async function signIn() {
  const token = await askForToken(null);
  if (!token) return;
  api.token = token;
  void readHealth();
  void view?.load();
}

createShell({ store, signIn: () => void signIn(), signOut: () => (api.token = null) });
bindSkipLink();
window.addEventListener('hashchange', () => showRoute());
window.addEventListener('error', (event) => {
  if (event.error) replace(content, errorState(event.error, () => showRoute()));
});
showRoute(false);
void readHealth();
setInterval(() => void readHealth(), HEALTH_EVERY_MS);
void follow(api, { onEvent, onState: onConnection });
