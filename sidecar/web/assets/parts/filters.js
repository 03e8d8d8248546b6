/** A form of filters that are kept in the address, so that a link or the back button brings them again. */

import { after, element } from '../dom.js';
import { keepQuery } from '../router.js';

const TYPING_PAUSE_MS = 300;

/**
 * @typedef {object} Field
 * @property {string} name As in the address and in the API.
 * @property {string} label
 * @property {'search' | 'text' | 'number'} [type] Without options.
 * @property {string} [hint]
 * @property {[value: string, text: string][]} [options]
 * @property {string} [initial] What holds when the address says nothing.
 */

/**
 * @param {Field[]} fields
 * @param {Record<string, string>} query From the address.
 * @param {() => void} onChange
 */
export function createFilters(fields, query, onChange) {
  const values = Object.fromEntries(fields.map((field) => [field.name, query[field.name] ?? field.initial ?? '']));
  /** @type {Record<string, string>} */
  const extra = query.sort ? { sort: query.sort } : {};
  const changed = () => {
    const different = fields.filter((field) => values[field.name] !== (field.initial ?? ''));
    keepQuery({ ...Object.fromEntries(different.map((field) => [field.name, values[field.name] || 'any'])), ...extra });
    clear.hidden = different.length === 0;
    onChange();
  };
  const controls = fields.map((field) => control(field, values, changed));
  const clear = element('button', { type: 'button', class: 'quiet', click: reset }, 'Clear filters');
  clear.hidden = fields.every((field) => values[field.name] === (field.initial ?? ''));
  for (const field of fields) if (values[field.name] === 'any') values[field.name] = '';

  function reset() {
    for (const field of fields) {
      values[field.name] = field.initial ?? '';
      /** @type {HTMLInputElement} */ (form.elements.namedItem(field.name)).value = values[field.name];
    }
    changed();
  }

  /** @type {HTMLFormElement} */
  const form = element('form', { class: 'filters folded', role: 'search', submit: (/** @type {Event} */ event) => event.preventDefault() }, foldButton(), controls, clear);
  return {
    form,
    values,
    get sort() {
      return extra.sort ?? '';
    },
    /** @param {string} chosen */
    setSort(chosen) {
      extra.sort = chosen;
      changed();
    },
  };
}

/** On a phone the filters are folded away behind this; elsewhere it is not shown. */
function foldButton() {
  const button = element('button', { type: 'button', class: 'filters-toggle', 'aria-expanded': 'false' }, 'Filters');
  button.addEventListener('click', () => {
    const folded = button.parentElement.classList.toggle('folded');
    button.setAttribute('aria-expanded', String(!folded));
  });
  return button;
}

/**
 * @param {Field} field @param {Record<string, string>} values @param {() => void} changed
 */
function control(field, values, changed) {
  const id = `filter-${field.name}`;
  const soon = after(TYPING_PAUSE_MS, changed);
  const take = (/** @type {any} */ event) => {
    values[field.name] = event.target.value.trim();
    if (field.options) changed();
    else soon();
  };
  const value = values[field.name] === 'any' ? '' : values[field.name];
  let input;
  if (field.options) {
    const options = field.options.map(([key, text]) => element('option', { value: key, selected: key === value }, text));
    input = element('select', { id, name: field.name, change: take }, options);
  } else {
    const type = field.type ?? 'text';
    input = element('input', { id, name: field.name, type, value, placeholder: field.hint, input: take, autocomplete: 'off', spellcheck: 'false', min: type === 'number' ? 0 : null });
  }
  return element('div', { class: `field field-${field.name}` }, element('label', { for: id }, field.label), input);
}
