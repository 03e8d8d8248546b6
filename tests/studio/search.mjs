/**
 * Answers of searches over documents: as much of Splunk's search language as the app's dashboards use, and an error for anything else.
 *
 * No substitute for Splunk: written for these tests after the language's documentation, to see that each panel asks for something that
 * documents have and gets what its visualization wants.
 */

const BUCKETS = 48;

/** An event as Splunk's extraction of JSON names its fields: arrays end with `{}`. @param {any} document @param {Record<string, any>} more */
export function event(document, more) {
  const fields = { ...more };
  const walk = (/** @type {any} */ value, /** @type {string} */ name) => {
    if (Array.isArray(value)) for (const one of value) walk(one, `${name}{}`);
    else if (value !== null && typeof value === 'object') for (const [key, inner] of Object.entries(value)) walk(inner, name === '' ? key : `${name}.${key}`);
    else if (name in fields) fields[name] = [fields[name], value].flat();
    else fields[name] = value;
  };
  walk(document, '');
  return fields;
}

/** Parts of a text at a separator that is in no quotes and in no brackets. @param {string} text @param {string} separator */
function split(text, separator) {
  const parts = [''];
  let quote = '';
  let depth = 0;
  for (let at = 0; at < text.length; at += 1) {
    const one = text[at];
    if (quote) quote = one === quote && text[at - 1] !== '\\' ? '' : quote;
    else if (one === '"' || one === "'") quote = one;
    else if (one === '(') depth += 1;
    else if (one === ')') depth -= 1;
    if (!quote && depth === 0 && text.startsWith(separator, at)) {
      parts.push('');
      at += separator.length - 1;
    } else parts[parts.length - 1] += one;
  }
  return parts.map((part) => part.trim()).filter((part) => part !== '');
}

const bare = (/** @type {string} */ name) => name.replace(/^(["'])(.*)\1$/s, '$2').replaceAll('\\"', '"');
const values = (/** @type {any} */ value) => (value === undefined || value === null ? [] : [value].flat());

/** @param {string} term @returns {(event: any) => boolean} */
function termOf(term) {
  const compared = /^("(?:[^"\\]|\\.)*"|[\w.]+)(>=|=)(.+)$/s.exec(term);
  if (term === '*') return () => true;
  if (!compared) throw new Error(`a term of a search that is not known here: ${term}`);
  const [, field, operator, wanted] = compared;
  const value = bare(wanted);
  return (one) =>
    values(one[bare(field)]).some((found) => (operator === '>=' ? Number(found) >= Number(value) : value === '*' || String(found) === value));
}

/** @param {string} text @param {any[]} events @param {Record<string, string>} macros */
function find(text, events, macros) {
  let expanded = text;
  while (expanded.includes('`'))
    expanded = expanded.replace(/`(\w+)`/g, (_all, name) => {
      if (!(name in macros)) throw new Error(`no such macro: ${name}`);
      return macros[name];
    });
  const terms = split(expanded, ' ');
  const tests = [];
  for (let at = 0; at < terms.length; at += 1) {
    const not = terms[at] === 'NOT';
    if (not) at += 1;
    const test = termOf(terms[at]);
    tests.push(not ? (/** @type {any} */ one) => !test(one) : test);
  }
  return events.filter((one) => tests.every((test) => test(one)));
}

const FUNCTIONS = /** @type {Record<string, (found: any[]) => any>} */ ({
  dc: (found) => new Set(found).size,
  max: (found) => found.reduce((most, one) => (most === null || one > most ? one : most), null),
  min: (found) => found.reduce((least, one) => (least === null || one < least ? one : least), null),
  avg: (found) => (found.length > 0 ? found.reduce((sum, one) => sum + one, 0) / found.length : null),
  sum: (found) => found.reduce((sum, one) => sum + one, 0),
  latest: (found) => found.at(-1) ?? null,
  perc95: (found) => [...found].sort((a, b) => a - b).at(Math.ceil(found.length * 0.95) - 1) ?? null,
});

/** @param {string} text */
function measures(text) {
  const all = [...text.matchAll(/(\w+)(?:\(([^)]*)\))? AS "([^"]+)"/g)].map(([, name, field, title]) => ({ name, field: bare(field ?? ''), title }));
  for (const { name } of all) if (name !== 'count' && !(name in FUNCTIONS)) throw new Error(`a function that is not known here: ${name}`);
  if (all.length === 0) throw new Error(`nothing is measured: ${text}`);
  return all;
}

/** @param {{name: string, field: string}} measure @param {any[]} events Oldest first. */
const measured = ({ name, field }, events) => (name === 'count' ? events.length : FUNCTIONS[name](events.flatMap((one) => values(one[field]))));

/** @param {any[]} events @param {string[]} fields */
function grouped(events, fields) {
  /** @type {Map<string, {key: any[], events: any[]}>} */
  const groups = new Map();
  for (const one of events) {
    let keys = [/** @type {any[]} */ ([])];
    for (const field of fields) keys = keys.flatMap((key) => values(one[field]).map((value) => [...key, value]));
    for (const key of keys) {
      const name = JSON.stringify(key);
      if (!groups.has(name)) groups.set(name, { key, events: [] });
      groups.get(name)?.events.push(one);
    }
  }
  return [...groups.values()];
}

/** @param {any[]} events @param {string} text */
function stats(events, text) {
  const [head, by] = text.split(' BY ');
  const wanted = measures(head);
  const fields = by === undefined ? [] : split(by, ' ').map(bare);
  const groups = fields.length === 0 ? [{ key: [], events }] : grouped(events, fields);
  return groups.map((group) => ({
    ...Object.fromEntries(fields.map((field, at) => [field, group.key[at]])),
    ...Object.fromEntries(wanted.map((measure) => [measure.title, measured(measure, group.events)])),
  }));
}

/** @param {any[]} events @param {string} text @param {{from: number, to: number}} span */
function timechart(events, text, span) {
  const [head, by] = text.split(' BY ');
  const limit = Number(/limit=(\d+)/.exec(head)?.[1] ?? 10);
  const wanted = measures(head);
  const width = (span.to - span.from) / BUCKETS;
  const groups = by === undefined ? [] : grouped(events, [bare(by)]).sort((a, b) => b.events.length - a.events.length);
  const shown = groups.slice(0, limit).map((group) => String(group.key[0])).sort();
  return Array.from({ length: BUCKETS }, (_, at) => {
    const begin = span.from + at * width;
    const inside = events.filter((one) => one._time >= begin && one._time < begin + width);
    const row = /** @type {Record<string, any>} */ ({ _time: new Date(begin * 1000).toISOString() });
    if (by === undefined) for (const measure of wanted) row[measure.title] = measured(measure, inside);
    else for (const name of shown) row[name] = measured(wanted[0], inside.filter((one) => values(one[bare(by)]).map(String).includes(name)));
    return row;
  });
}

/** @param {any} row @param {string} text */
function evaluate(row, text) {
  const made = /** @type {Record<string, any>} */ ({});
  for (const assignment of split(text, ',')) {
    const [, name, expression] = /^("[^"]+"|\w+)=(.+)$/s.exec(assignment) ?? [];
    const time = /^strftime\((.+), "[^"]+"\)$/.exec(expression);
    const bucket = /^(\d+)\*floor\((.+)\/\1\)$/.exec(expression);
    const rounded = /^round\((.+), (\d)\)$/.exec(expression);
    const field = (/** @type {string} */ of) => row[bare(of)];
    if (time) made[bare(name)] = field(time[1]) === null ? null : new Date(field(time[1]) * 1000).toISOString().slice(0, 19).replace('T', ' ');
    else if (rounded) made[bare(name)] = field(rounded[1]) === null ? null : Number(Number(field(rounded[1])).toFixed(Number(rounded[2])));
    else if (bucket) made[bare(name)] = Number(bucket[1]) * Math.floor(Number(field(bucket[2])) / Number(bucket[1]));
    else if (expression !== undefined) made[bare(name)] = split(expression, '.').length > 1 && /^["']/.test(expression) && !/^'[^']+'$/.test(expression) ? split(expression, '.').map((part) => (part.startsWith('"') ? bare(part) : field(part))).join('') : field(expression);
    else throw new Error(`an expression that is not known here: ${assignment}`);
  }
  return { ...row, ...made };
}

/** @param {any[]} rows @param {string} text */
function sort(rows, text) {
  const [, count, minus, field] = /^(\d+) (- )?(.+)$/.exec(text) ?? [];
  if (field === undefined) throw new Error(`an order that is not known here: ${text}`);
  const direction = minus ? -1 : 1;
  const sorted = [...rows].sort((a, b) => direction * (a[bare(field)] > b[bare(field)] ? 1 : a[bare(field)] < b[bare(field)] ? -1 : 0));
  return Number(count) === 0 ? sorted : sorted.slice(0, Number(count));
}

/**
 * The answer as Dashboard Studio's test data has it.
 * @param {string} query Without tokens.
 * @param {any[]} events Oldest first.
 * @param {Record<string, string>} macros
 * @param {{from: number, to: number}} span
 */
export function answer(query, events, macros, span) {
  const [head, ...stages] = split(query, ' | ');
  let rows = find(head, events, macros);
  let order = /** @type {string[] | null} */ (null);
  for (const stage of stages) {
    const [, command, text] = /^(\w+) (.+)$/s.exec(stage) ?? [];
    if (command === 'dedup') rows = [...new Map(rows.map((row) => [row[bare(text)], row])).values()];
    else if (command === 'stats') rows = stats(rows, text.replace(/^count BY /, 'count AS "count" BY '));
    else if (command === 'timechart') rows = timechart(rows, text, span);
    else if (command === 'eval') rows = rows.map((row) => evaluate(row, text));
    else if (command === 'sort') rows = sort(rows, text);
    else if (command === 'rename') {
      const [from, to] = text.split(' AS ').map(bare);
      rows = rows.map((row) => Object.fromEntries(Object.entries(row).map(([name, value]) => [name === from ? to : name, value])));
    } else if (command === 'table') order = split(text, ' ').map(bare);
    else throw new Error(`a command that is not known here: ${stage}`);
  }
  const fields = order ?? [...new Set(rows.flatMap((row) => Object.keys(row)))];
  return { fields: fields.map((name) => ({ name })), columns: fields.map((name) => rows.map((row) => text(row[name]))) };
}

/** Splunk's answers are texts; several values are an array of them. @param {any} value */
function text(value) {
  if (value === undefined || value === null) return null;
  return Array.isArray(value) ? value.map(String) : String(value);
}
