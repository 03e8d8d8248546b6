/**
 * A table that sorts by its column heads, and whose rows become cards on a narrow screen.
 *
 * Roles are given although the elements have them: browsers drop those of a table whose `display` is changed.
 */

import { drawing, element, replace } from '../dom.js';

const ARROW = 'M8 2v12M4 10l4 4 4-4';

/**
 * @template Row
 * @typedef {object} Column
 * @property {string} name Head of the column, and label of the value in a card.
 * @property {(row: Row) => import('../dom.js').Child} cell
 * @property {string} [sort] How the API calls this order (always downwards).
 * @property {boolean} [numeric]
 * @property {string} [className]
 */

/**
 * @template Row
 * @param {object} options
 * @param {string} options.caption For assistive technology.
 * @param {Column<Row>[]} options.columns
 * @param {(row: Row) => string} options.id
 * @param {(row: Row) => string} [options.rowClass]
 * @param {string} [options.sort]
 * @param {(sort: string) => void} [options.onSort]
 */
export function createTable({ caption, columns, id, rowClass, sort = '', onSort }) {
  /** @type {Map<string, HTMLElement>} */
  const rows = new Map();
  const body = element('tbody', { role: 'rowgroup' });
  const heads = columns.map((column) => head(column, sort, onSort));
  const node = element(
    'table',
    { role: 'table', class: 'table' },
    element('caption', { class: 'visually-hidden' }, caption),
    element('thead', { role: 'rowgroup' }, element('tr', { role: 'row' }, heads)),
    body,
  );
  const fillRow = (/** @type {HTMLElement} */ line, /** @type {Row} */ row) => {
    line.className = rowClass?.(row) ?? '';
    replace(line, columns.map((column) => cell(column, row)));
  };
  const make = (/** @type {Row} */ row) => {
    const line = element('tr', { role: 'row' });
    fillRow(line, row);
    rows.set(id(row), line);
    return line;
  };
  return {
    node,
    /** @param {Row[]} all */
    show(all) {
      rows.clear();
      replace(body, all.map(make));
    },
    /** @param {Row[]} more */
    add(more) {
      body.append(...more.map(make));
    },
    /** Shows a row anew that is in the table. @param {Row} row @returns {boolean} Whether it is. */
    update(row) {
      const line = rows.get(id(row));
      if (!line) return false;
      // What has the focus would lose it.
      if (!line.contains(document.activeElement)) fillRow(line, row);
      line.classList.remove('changed');
      requestAnimationFrame(() => line.classList.add('changed'));
      return true;
    },
    /** @param {string} rowId */
    has: (rowId) => rows.has(rowId),
    get size() {
      return rows.size;
    },
    /** @param {string} chosen */
    setSort(chosen) {
      columns.forEach((column, index) => markSorted(heads[index], column, chosen));
    },
  };
}

/**
 * @param {Column<any>} column @param {string} sort @param {((sort: string) => void) | undefined} onSort
 */
function head(column, sort, onSort) {
  const made = element('th', { role: 'columnheader', scope: 'col', class: classes(column) });
  if (column.sort && onSort) {
    const chosen = column.sort;
    const button = element('button', { type: 'button', class: 'sort', click: () => onSort(chosen) }, column.name, drawing(ARROW, 'sort-arrow'));
    made.append(button);
  } else {
    made.append(column.name);
  }
  markSorted(made, column, sort);
  return made;
}

/** @param {HTMLElement} head @param {Column<any>} column @param {string} chosen */
function markSorted(head, column, chosen) {
  if (column.sort && column.sort === chosen) head.setAttribute('aria-sort', 'descending');
  else head.removeAttribute('aria-sort');
}

/** @param {Column<any>} column @param {any} row */
function cell(column, row) {
  const value = element('div', { class: 'value' }, column.cell(row));
  const label = element('span', { class: 'card-label', 'aria-hidden': 'true' }, column.name);
  return element('td', { role: 'cell', class: classes(column) }, label, value);
}

/** @param {Column<any>} column */
function classes(column) {
  const all = [column.numeric ? 'numeric' : '', column.className ?? ''].filter(Boolean).join(' ');
  return all === '' ? null : all;
}
