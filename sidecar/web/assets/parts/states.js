/** What stands where data will be, is not, or cannot be read. */

import { element, replace } from '../dom.js';

/** @param {string} what */
export function loadingState(what) {
  const bars = [92, 78, 85, 60].map((width) => element('span', { class: `skeleton skeleton-${width}` }));
  return element('div', { class: 'state state-loading' }, element('p', {}, `Loading ${what} …`), bars);
}

/**
 * @param {string} title
 * @param {string} text What to do about it.
 * @param {Node | null} [action]
 */
export function emptyState(title, text, action = null) {
  return element('div', { class: 'state' }, element('h2', {}, title), element('p', {}, text), action);
}

/**
 * @param {unknown} error
 * @param {() => void} retry
 */
export function errorState(error, retry) {
  const text = error instanceof Error ? error.message : String(error);
  const again = element('button', { type: 'button', click: retry }, 'Try again');
  return element('div', { class: 'state state-error', role: 'alert' }, element('h2', {}, 'This could not be loaded'), element('p', {}, text), again);
}

/**
 * Fills `region` with what `read` gives: first a placeholder, then `show` or the error with a way to try again.
 * @template T
 * @param {Element} region
 * @param {string} what
 * @param {() => Promise<T>} read
 * @param {(value: T) => void} show
 */
export async function fill(region, what, read, show) {
  region.setAttribute('aria-busy', 'true');
  replace(region, loadingState(what));
  try {
    show(await read());
  } catch (error) {
    replace(region, errorState(error, () => void fill(region, what, read, show)));
  } finally {
    region.removeAttribute('aria-busy');
  }
}
