/**
 * A table that is read page by page, with filters in the address.
 *
 * Contract: a newer request wins over an older one that answers later. Rows are added below; nothing moves what the
 * reader looks at.
 */

import { element, replace } from '../dom.js';
import { count } from '../format.js';
import { emptyState, errorState, loadingState } from './states.js';
import { createTable } from './table.js';

const PAGE = 100;

/**
 * @param {object} options
 * @param {import('../api.js').Api} options.api
 * @param {string} options.path
 * @param {string} options.items Name of the list in the answer.
 * @param {string} options.what What the rows are, in the plural.
 * @param {() => Record<string, string>} options.query
 * @param {() => Node} options.empty
 * @param {Omit<Parameters<typeof createTable<any>>[0], 'caption'>} options.table
 */
export function createPagedTable({ api, path, items, what, query, empty, table: tableOptions }) {
  const table = createTable({ ...tableOptions, caption: what });
  const region = element('div', { class: 'list', tabindex: '-1' });
  const summary = element('p', { class: 'list-summary', role: 'status' });
  const more = element('button', { type: 'button', class: 'more', click: () => void loadMore() }, 'Show more');
  let generation = 0;
  /** @type {string | null} */
  let next = null;
  let total = 0;

  const tell = () => {
    summary.textContent = table.size === 0 ? `No ${what}` : `${count(table.size)} of ${count(total)} ${what}`;
    more.hidden = next === null;
  };
  const accept = (/** @type {any} */ answer) => {
    next = answer.next ?? null;
    total = answer.total ?? answer.count;
    tell();
  };

  async function reload() {
    generation += 1;
    const mine = generation;
    if (table.size === 0) replace(region, loadingState(what));
    region.setAttribute('aria-busy', 'true');
    try {
      const answer = await api.get(path, { ...query(), limit: PAGE });
      if (mine !== generation) return;
      table.show(answer[items]);
      accept(answer);
      replace(region, answer[items].length > 0 ? [table.node, more] : empty());
    } catch (error) {
      if (mine !== generation) return;
      table.show([]);
      summary.textContent = '';
      replace(region, errorState(error, () => void reload()));
    }
    region.removeAttribute('aria-busy');
  }

  async function loadMore() {
    const mine = generation;
    more.disabled = true;
    try {
      const answer = await api.get(path, { ...query(), limit: PAGE, cursor: next });
      if (mine !== generation) return;
      table.add(answer[items].filter((/** @type {any} */ row) => !table.has(tableOptions.id(row))));
      accept(answer);
    } catch (error) {
      if (mine === generation) summary.textContent = `More could not be loaded: ${error instanceof Error ? error.message : error}`;
    } finally {
      more.disabled = false;
    }
  }

  return { region, summary, table, reload, page: () => api.get(path, { ...query(), limit: PAGE }) };
}
