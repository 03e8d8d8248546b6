/** A view that is one list: heading, a sentence, filters, and a table that is read page by page. */

import { element } from '../dom.js';
import { createFilters } from './filters.js';
import { createPagedTable } from './paged-table.js';

/**
 * @param {import('../app.js').Context} context
 * @param {import('../router.js').Route} route
 * @param {object} options
 * @param {string} options.title
 * @param {string} options.text
 * @param {import('./filters.js').Field[]} options.fields
 * @param {string} options.path Of the API.
 * @param {string} options.items Name of the list in its answer.
 * @param {string} options.what What the rows are, in the plural.
 * @param {() => Node} options.empty
 * @param {import('./table.js').Column<any>[]} options.columns
 * @param {(row: any) => string} options.id
 * @param {string} [options.sort] The order unless another is chosen; none where the API has only one.
 * @returns {import('../app.js').View}
 */
export function listView({ api }, route, { title, text, fields, path, items, what, empty, columns, id, sort }) {
  const filters = createFilters(fields, route.query, () => void list.reload());
  const order = () => filters.sort || sort;
  const sorting = sort === undefined ? {} : { sort: order(), onSort };
  const list = createPagedTable({
    api,
    path,
    items,
    what,
    query: () => ({ ...filters.values, ...(sort === undefined ? {} : { sort: String(order()) }) }),
    empty,
    table: { columns, id, ...sorting },
  });

  function onSort(/** @type {string} */ chosen) {
    list.table.setSort(chosen);
    filters.setSort(chosen);
  }

  const refresh = element('button', { type: 'button', class: 'quiet', click: () => void list.reload() }, 'Refresh');
  const heading = element('div', { class: 'heading' }, element('h1', {}, title), list.summary, refresh);
  return { title, node: element('div', { class: 'view' }, heading, element('p', { class: 'muted' }, text), filters.form, list.region), load: list.reload };
}
