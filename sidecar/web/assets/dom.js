/**
 * Building the page.
 *
 * Contract: whatever comes from outside (names, paths, addresses) becomes a text node or an attribute value,
 * never markup. There is no way through this file to set HTML, an inline style or an inline handler.
 */

const SVG = 'http://www.w3.org/2000/svg';
/** Schemes other than these in a link could run what a name says. */
const SAFE_LINK = /^(#|\/(?!\/))/;

/**
 * @typedef {Node | string | number | null | undefined | false | any[]} Child Lists are flattened.
 * @typedef {Record<string, unknown>} Attributes Functions are event handlers; `true` is an empty attribute; null and false leave it out.
 */

/**
 * @param {string} tag
 * @param {Attributes} [attributes]
 * @param {...Child} children
 * @returns {any} The element.
 */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) setAttribute(made, name, value);
  append(made, children);
  return made;
}

/**
 * @param {Element} target
 * @param {string} name
 * @param {unknown} value
 */
function setAttribute(target, name, value) {
  if (value === null || value === undefined || value === false) return;
  if (typeof value === 'function') {
    target.addEventListener(name, /** @type {EventListener} */ (value));
    return;
  }
  if (name.startsWith('on') || name === 'style') throw new Error(`attribute ${name} is not allowed`);
  if (name === 'href' && !SAFE_LINK.test(String(value))) throw new Error('a link must stay on this page');
  target.setAttribute(name, value === true ? '' : String(value));
}

/**
 * @param {Node} parent
 * @param {Child[]} children
 */
function append(parent, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    parent.appendChild(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

/**
 * Puts `children` in place of what is in `parent`.
 * @param {Element} parent
 * @param {...Child} children
 */
export function replace(parent, ...children) {
  const fragment = document.createDocumentFragment();
  append(fragment, children);
  parent.replaceChildren(fragment);
}

/**
 * A drawing of 16 by 16, hidden from assistive technology: the text beside it says the same.
 * @param {string} path What `d` of an SVG path says.
 * @param {string} [className]
 */
export function drawing(path, className = '') {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 0 16 16');
  svg.setAttribute('aria-hidden', 'true');
  svg.setAttribute('class', `drawing ${className}`.trim());
  const shape = document.createElementNS(SVG, 'path');
  shape.setAttribute('d', path);
  svg.append(shape);
  return svg;
}

/** Says `text` to assistive technology, without showing it. @param {string} text */
export function announce(text) {
  const announcer = document.getElementById('announcer');
  if (announcer) announcer.textContent = text;
}

/**
 * A function that calls `action` once `pause_ms` after its last call.
 * @param {number} pause_ms
 * @param {() => void} action
 */
export function after(pause_ms, action) {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = window.setTimeout(action, pause_ms);
  };
}
