/** Modal dialogs. The browser keeps the focus inside and gives it back; Escape closes. */

import { element, replace } from '../dom.js';

let counter = 0;

/**
 * Shows a dialog until it is answered.
 * @template T
 * @param {object} options
 * @param {string} options.title
 * @param {import('../dom.js').Child} options.content
 * @param {string} options.action Text of the button that answers.
 * @param {'primary' | 'danger'} [options.tone]
 * @param {(problem: (text: string) => void) => Promise<T | undefined>} options.answer Undefined keeps the dialog open.
 * @param {(parts: {submit: HTMLButtonElement, form: HTMLFormElement}) => void} [options.ready]
 * @returns {Promise<T | null>} Null when it was closed without an answer.
 */
export function ask({ title, content, action, tone = 'primary', answer, ready }) {
  counter += 1;
  const titleId = `dialog-title-${counter}`;
  const problem = element('p', { class: 'problem', role: 'alert' });
  const submit = element('button', { type: 'submit', class: tone }, action);
  const cancel = element('button', { type: 'button', class: 'quiet', click: () => dialog.close() }, 'Cancel');
  const form = element('form', { class: 'dialog-form' }, element('h2', { id: titleId }, title), content, problem, element('div', { class: 'dialog-buttons' }, cancel, submit));
  /** @type {HTMLDialogElement} */
  const dialog = element('dialog', { class: 'dialog', 'aria-labelledby': titleId }, form);
  document.body.append(dialog);
  return new Promise((resolve) => {
    /** @type {T | null} */
    let result = null;
    form.addEventListener('submit', async (/** @type {Event} */ event) => {
      event.preventDefault();
      replace(problem);
      submit.disabled = true;
      try {
        const given = await answer((text) => replace(problem, text));
        if (given === undefined) return;
        result = given;
        dialog.close();
      } catch (error) {
        replace(problem, error instanceof Error ? error.message : String(error));
      } finally {
        submit.disabled = false;
      }
    });
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(result);
    });
    dialog.showModal();
    ready?.({ submit, form });
  });
}

/**
 * A dialog that only shows something.
 * @param {string} title
 * @param {import('../dom.js').Child} content
 */
export function show(title, content) {
  counter += 1;
  const titleId = `dialog-title-${counter}`;
  const close = element('button', { type: 'button', click: () => dialog.close() }, 'Close');
  /** @type {HTMLDialogElement} */
  const dialog = element('dialog', { class: 'dialog dialog-wide', 'aria-labelledby': titleId }, element('h2', { id: titleId }, title), content, element('div', { class: 'dialog-buttons' }, close));
  document.body.append(dialog);
  dialog.addEventListener('close', () => dialog.remove());
  dialog.showModal();
}

/**
 * A labelled control with an explanation.
 * @param {string} label
 * @param {HTMLElement} input
 * @param {string} [hint]
 */
export function labelled(label, input, hint) {
  counter += 1;
  input.id = `control-${counter}`;
  const explained = hint ? element('span', { class: 'hint', id: `hint-${counter}` }, hint) : null;
  if (hint) input.setAttribute('aria-describedby', `hint-${counter}`);
  return element('div', { class: 'field' }, element('label', { for: input.id }, label), input, explained);
}
