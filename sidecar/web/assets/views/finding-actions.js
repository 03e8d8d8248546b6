/** What one can do about a finding. Everything but a comment can be undone: for ten seconds beside the message, later in the history. */

import { element, replace } from '../dom.js';
import { isSuppressed } from '../parts/badges.js';
import { ask, labelled } from '../parts/dialog.js';
import { toast } from '../parts/toast.js';
import { allowDialog, conditionsOf } from './allow-dialog.js';

/**
 * @typedef {{api: import('../api.js').Api, alert: any, reload: () => Promise<void>}} Subject
 * @typedef {(subject: Subject) => Promise<unknown>} Action
 */

/** @param {Subject} subject @param {string} rest */
const path = ({ alert }, rest) => `alerts/${encodeURIComponent(alert.alert_id)}/${rest}`;

/** @type {Record<string, Action>} */
const SEND = {
  acknowledge: (subject) => subject.api.post(path(subject, 'acknowledge')),
  unacknowledge: (subject) => subject.api.delete(path(subject, 'acknowledge')),
  close: (subject) => subject.api.post(path(subject, 'close')),
  reopen: (subject) => subject.api.post(path(subject, 'reopen')),
  unsuppress: (subject) => subject.api.delete(path(subject, 'suppress')),
  disallow: (subject) => subject.api.delete(`allow/${encodeURIComponent(subject.alert.allowed.id)}`),
};

/**
 * Does `action`, says so, and offers to take it back.
 * @param {Subject} subject @param {Action} action @param {string} done @param {Action} [undo]
 */
async function perform(subject, action, done, undo) {
  try {
    await action(subject);
    toast(done, { undo: undo && (() => perform(subject, undo, 'Undone.')) });
  } catch (error) {
    toast(error instanceof Error ? error.message : String(error), { tone: 'bad' });
  }
  await subject.reload();
}

/** The buttons that fit the finding's state. @param {Subject} subject */
function choices(subject) {
  const { alert } = subject;
  const open = alert.state === 'open';
  const from = perform.bind(null, subject);
  /** @type {[string, string, () => unknown][]} */
  const all = [];
  if (alert.acknowledged) all.push(['unacknowledge', 'Take back acknowledgement', () => from(SEND.unacknowledge, 'No longer acknowledged.', SEND.acknowledge)]);
  else if (open) all.push(['acknowledge', 'Acknowledge', () => from(SEND.acknowledge, 'Acknowledged.', SEND.unacknowledge)]);
  all.push(['comment', 'Comment …', () => comment(subject)]);
  if (open) all.push(['close', 'Close', () => from(SEND.close, 'Closed. It reopens when the beats come again.', SEND.reopen)]);
  else all.push(['reopen', 'Reopen', () => from(SEND.reopen, 'Reopened.', SEND.close)]);
  if (isSuppressed(alert)) all.push(['unsuppress', 'End suppression', () => from(SEND.unsuppress, 'No longer suppressed.')]);
  else all.push(['suppress', 'Suppress …', () => suppress(subject)]);
  if (alert.allowed) all.push(['disallow', 'Remove from allow-list', () => from(SEND.disallow, 'No longer allowed.')]);
  else if (alert.kind !== 'sensor') all.push(['allow', 'Allow …', () => allow(subject)]);
  return all;
}

/**
 * The buttons of a finding. They are made anew only when there are others to show, so that a dialog finds the button again
 * that opened it; the focus stays at its place.
 * @param {HTMLElement} host
 * @returns {(subject: Subject) => void} Shows the buttons that fit.
 */
export function createActions(host) {
  /** @type {ReturnType<typeof choices>} */
  let shown = [];
  const names = (/** @type {typeof shown} */ all) => all.map(([name]) => name).join();
  return (subject) => {
    const before = shown;
    shown = choices(subject);
    if (names(before) === names(shown)) return;
    const index = [...host.children].findIndex((child) => child === document.activeElement);
    replace(host, shown.map(([name, text], at) => element('button', { type: 'button', class: name === 'acknowledge' ? 'primary' : '', 'data-action': name, click: () => void shown[at][2]() }, text)));
    if (index >= 0) /** @type {HTMLElement | undefined} */ (host.children[index])?.focus();
  };
}

/** @param {Subject} subject */
async function comment(subject) {
  const text = element('textarea', { required: true, maxlength: 4000, rows: 4 });
  const done = await ask({
    title: 'Comment',
    action: 'Add comment',
    content: [labelled('Comment', text, 'Becomes part of the history, with your token’s name. A comment cannot be taken back.')],
    answer: () => subject.api.post(path(subject, 'comment'), { text: text.value.trim() }),
  });
  if (done) toast('Comment added.');
  await subject.reload();
}

/** @type {[number, string][]} */
const PERIODS = [[3600, '1 hour'], [8 * 3600, '8 hours'], [86_400, '1 day'], [7 * 86_400, '7 days'], [30 * 86_400, '30 days']];

/** @param {Subject} subject */
async function suppress(subject) {
  const period = element('select', {}, PERIODS.map(([seconds, text]) => element('option', { value: seconds, selected: seconds === 86_400 }, text)));
  const done = await ask({
    title: 'Suppress',
    action: 'Suppress',
    content: [element('p', {}, 'Until then no destination hears of this finding, unless it escalates. What happens meanwhile is counted.'), labelled('For', period)],
    answer: () => subject.api.post(path(subject, 'suppress'), { for_s: Number(period.value) }),
  });
  if (done) toast('Suppressed.', { undo: () => perform(subject, SEND.unsuppress, 'Undone.') });
  await subject.reload();
}

/** @param {Subject} subject */
async function allow(subject) {
  const made = await allowDialog(subject.api, conditionsOf(subject.alert));
  if (made) {
    const remove = () => subject.api.delete(`allow/${encodeURIComponent(made.entry.id)}`);
    toast('Allowed.', { undo: () => perform(subject, remove, 'No longer allowed.') });
  }
  await subject.reload();
}

/** Endings of event names, what undoes them, and whether there is something to undo. */
/** @type {[RegExp, string, (alert: any) => boolean][]} */
const UNDOABLE = [
  [/acknowledged$/, 'unacknowledge', (alert) => Boolean(alert.acknowledged)],
  [/closed$/, 'reopen', (alert) => alert.state === 'closed'],
  [/suppressed$/, 'unsuppress', isSuppressed],
  [/allowed$/, 'disallow', (alert) => Boolean(alert.allowed)],
];

/**
 * What takes back an event of the history: only the newest of its kind, and only while it holds.
 * @param {string} event
 * @param {Subject} subject
 * @param {Set<string>} used Kinds that have their button already.
 * @returns {(() => void) | null}
 */
export function undoFor(event, subject, used) {
  const found = UNDOABLE.find(([ending]) => ending.test(event) && !/un(acknowledged|suppressed)$|disallowed$/.test(event));
  if (!found || used.has(found[1]) || !found[2](subject.alert)) return null;
  used.add(found[1]);
  return () => void perform(subject, SEND[found[1]], 'Undone.');
}
