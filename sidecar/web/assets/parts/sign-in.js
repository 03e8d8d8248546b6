/** Asks for a token. Only one dialog at a time: requests that are refused meanwhile wait for its answer. */

import { element } from '../dom.js';
import { ask, labelled } from './dialog.js';

/** @type {Promise<string | null> | null} */
let open = null;

/**
 * @typedef {{status: number, message: string, tokenSent: boolean}} Refusal
 *
 * @param {Refusal | null} reason Null when the user asked for the dialog.
 * @returns {Promise<string | null>}
 */
export function askForToken(reason) {
  open ??= showDialog(reason).finally(() => {
    open = null;
  });
  return open;
}

/** @param {Refusal | null} reason */
async function showDialog(reason) {
  const input = element('input', { type: 'password', name: 'token', required: true, autocomplete: 'off', spellcheck: 'false' });
  const wrong = reason?.tokenSent ? (reason.status === 403 ? 'This token may not do that.' : 'This token was not accepted.') : null;
  return ask({
    title: 'Sign in',
    action: 'Sign in',
    content: [
      element('p', {}, reason ? 'This needs a token.' : 'A token lets you acknowledge, allow and change things.', ' Beaconwatch wrote one for you into the file ', element('code', {}, 'api-token'), ' in its state directory:'),
      element('pre', { class: 'command' }, 'sudo cat <state dir>/api-token'),
      wrong ? element('p', { class: 'problem' }, `${wrong} The server says: ${reason?.message}`) : null,
      labelled('Token', input, 'Kept in this tab only, and forgotten when it is closed.'),
    ],
    answer: async () => input.value.trim() || undefined,
  });
}
