/** Light, dark, or as the system has it; remembered in this browser. */

const KEY = 'beaconwatch.theme';
export const THEMES = ['system', 'light', 'dark'];
/** Sent on `document` when colours change. */
export const THEME_EVENT = 'beaconwatch-theme';

/** @returns {string} */
export function theme() {
  return document.documentElement.dataset.theme ?? 'system';
}

/** @param {string} chosen One of `THEMES`. */
export function setTheme(chosen) {
  if (chosen === 'system') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = chosen;
  try {
    if (chosen === 'system') localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, chosen);
  } catch {
    // Storage can be forbidden; then the choice lasts as long as the page.
  }
  document.dispatchEvent(new Event(THEME_EVENT));
}

matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
  document.dispatchEvent(new Event(THEME_EVENT));
});
