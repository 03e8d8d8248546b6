/** Routes behind `#`: a path, and filters as a query. */

/**
 * @typedef {{path: string, parts: string[], query: Record<string, string>}} Route
 */

/** @returns {Route} */
export function currentRoute() {
  const [path, query = ''] = location.hash.replace(/^#/, '').split('?');
  const parts = path.split('/').filter(Boolean).map(decode);
  return { path, parts, query: Object.fromEntries(new URLSearchParams(query)) };
}

/** @param {string} part */
function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/**
 * Changes the filters in the address without leaving the view.
 * @param {Record<string, string>} query
 */
export function keepQuery(query) {
  const given = Object.entries(query).filter(([, value]) => value !== '');
  const text = given.length > 0 ? `?${new URLSearchParams(given)}` : '';
  history.replaceState(null, '', `#${currentRoute().path}${text}`);
}
