/** What is around every view: brand, pages, health, live indicator, theme, sign in, and the banner of a lost connection. */

import { drawing, element, replace } from './dom.js';
import { count, duration } from './format.js';
import { setTheme, theme, THEMES } from './theme.js';

/** @type {[path: string, name: string, icon: string][]} */
export const PAGES = [
  ['findings', 'Findings', 'M8 2a6 6 0 1 0 0 12A6 6 0 0 0 8 2zm0 4a2 2 0 1 1 0 4 2 2 0 0 1 0-4z'],
  ['hosts', 'Hosts', 'M2 3h12v8H2zM6 14h4M8 11v3'],
  ['series', 'Scored series', 'M1 12h2V6h2v6h2V2h2v10h2V8h2v4h2'],
  ['connections', 'Connections', 'M2 5h10M9 2l3 3-3 3M14 11H4M7 8l-3 3 3 3'],
  ['long-connections', 'Long connections', 'M1 8h14M1 5v6M15 5v6'],
  ['allow', 'Allow-list', 'M3 8.5 6.5 12 13 4.5'],
  ['destinations', 'Destinations', 'M2 8h8M7 5l3 3-3 3M10 2h4v12h-4'],
  ['dead-letters', 'Dead letters', 'M2 4h12v9H2zM2 4l6 5 6-5'],
  ['sensors', 'Sensors', 'M8 7v7M4 4a5.6 5.6 0 0 0 0 6M12 4a5.6 5.6 0 0 1 0 6M8 6.9v.2'],
  ['status', 'Status', 'M1 9h3l2-6 3 10 2-4h4'],
];

/**
 * @param {object} options
 * @param {ReturnType<typeof import('./store.js').createStore<import('./store.js').State>>} options.store
 * @param {() => void} options.signIn
 * @param {() => void} options.signOut
 */
export function createShell({ store, signIn, signOut }) {
  const health = element('a', { class: 'pill', href: '#/status' });
  const live = element('span', { class: 'pill' });
  const account = element('button', { type: 'button', class: 'quiet', click: () => (store.get().signedIn ? signOut() : signIn()) });
  const banner = element('div', { class: 'banner', role: 'alert' });
  const brand = element('a', { class: 'brand', href: '#/findings' }, element('img', { src: '/assets/icon.svg', alt: '', width: 22, height: 22 }), 'Beaconwatch');
  const bar = /** @type {Element} */ (document.getElementById('top-bar'));
  replace(bar, brand, element('div', { class: 'pills', role: 'status' }, health, live), themeChoice(), account, banner);
  replace(/** @type {Element} */ (document.getElementById('navigation')), element('ul', {}, PAGES.map(pageLink)));

  const show = () => {
    const state = store.get();
    showHealth(health, state);
    showConnection(live, banner, state);
    const text = state.signedIn ? 'Sign out' : 'Sign in';
    if (account.textContent !== text) account.textContent = text;
  };
  store.subscribe(show);
  show();
}

/** The link's own way would change the route behind `#`. */
export function bindSkipLink() {
  document.querySelector('.skip-link')?.addEventListener('click', (event) => {
    event.preventDefault();
    document.getElementById('content')?.focus();
  });
}

/** @param {typeof PAGES[number]} page */
function pageLink([path, name, icon]) {
  return element('li', {}, element('a', { href: `#/${path}`, 'data-page': path }, drawing(icon, 'line'), element('span', {}, name)));
}

/** Marks the page that is shown. @param {string} path */
export function markPage(path) {
  for (const link of document.querySelectorAll('[data-page]')) {
    if (link.getAttribute('data-page') === path) {
      link.setAttribute('aria-current', 'page');
      link.scrollIntoView({ block: 'nearest', inline: 'nearest' });
    } else {
      link.removeAttribute('aria-current');
    }
  }
}

function themeChoice() {
  const options = THEMES.map((name) => element('option', { value: name, selected: name === theme() }, name === 'system' ? 'System' : name === 'dark' ? 'Dark' : 'Light'));
  const choose = (/** @type {any} */ event) => setTheme(event.target.value);
  return element('label', { class: 'theme' }, element('span', { class: 'visually-hidden' }, 'Theme'), element('select', { change: choose, id: 'theme' }, options));
}

/** @param {HTMLElement} pill @param {import('./store.js').State} state */
function showHealth(pill, { health }) {
  const degraded = health !== null && health.status !== 'healthy';
  pill.className = `pill ${health === null ? '' : degraded ? 'pill-bad' : 'pill-good'}`;
  const problems = health?.problems?.length ?? 0;
  const text = health === null ? 'Health unknown' : degraded ? `Degraded: ${count(problems)} problem${problems === 1 ? '' : 's'}` : 'Healthy';
  if (pill.textContent !== text) pill.textContent = text;
  pill.title = health === null ? '' : `Version ${health.version}, running for ${duration(health.uptime_seconds)}`;
}

/** @param {HTMLElement} pill @param {HTMLElement} banner @param {import('./store.js').State} state */
function showConnection(pill, banner, { connection }) {
  const texts = { connecting: 'Connecting', live: 'Live', lost: 'Not live' };
  pill.className = `pill ${connection === 'live' ? 'pill-live' : connection === 'lost' ? 'pill-warn' : ''}`;
  if (pill.textContent !== texts[connection]) pill.textContent = texts[connection];
  const text = connection === 'lost' ? 'The connection to Beaconwatch is lost. What you see may be old; trying again …' : '';
  if (banner.textContent !== text) banner.textContent = text;
}
