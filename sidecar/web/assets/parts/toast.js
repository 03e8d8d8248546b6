/** Short messages in a corner, said aloud by assistive technology. One with Undo stays for ten seconds. */

import { element } from '../dom.js';

const SHOWN_MS = 10_000;
const MOST = 4;

/**
 * @param {string} text
 * @param {object} [options]
 * @param {() => Promise<void>} [options.undo]
 * @param {'good' | 'bad'} [options.tone]
 */
export function toast(text, { undo, tone = 'good' } = {}) {
  const host = document.getElementById('toasts');
  if (!host) return;
  const close = element('button', { type: 'button', class: 'toast-close', 'aria-label': 'Dismiss', click: () => node.remove() }, '×');
  const again = undo ? element('button', { type: 'button', class: 'toast-undo', click: run }, 'Undo') : null;
  const node = element('div', { class: `toast toast-${tone}` }, element('span', {}, text), again, close);
  async function run() {
    node.remove();
    await undo?.();
  }
  host.append(node);
  while (host.children.length > MOST) host.firstElementChild?.remove();
  leave(node);
}

/** Takes the message away, but not while someone is at it. @param {HTMLElement} node */
function leave(node) {
  setTimeout(() => {
    if (node.matches(':hover') || node.contains(document.activeElement)) leave(node);
    else node.remove();
  }, SHOWN_MS);
}
