/**
 * The stream of server-sent events.
 *
 * `EventSource` cannot send a bearer token, so the stream is read by `fetch`. It is opened again when it ends, after a
 * pause that doubles up to 15 s; a stream that is silent for 20 s counts as lost, because the sidecar sends
 * something every 5 s.
 */

import { ApiError, TOKEN_EVENT } from './api.js';

const FIRST_PAUSE_MS = 1000;
const MAX_PAUSE_MS = 15_000;
const SILENCE_MS = 20_000;
/** A line longer than this is not one of ours. */
const MAX_BUFFERED = 4_000_000;

/**
 * @typedef {{event: string, data: string, id: string}} ServerEvent
 * @typedef {{onEvent: (event: ServerEvent) => void, onState: (state: 'live' | 'lost') => void}} Handlers
 */

/**
 * Reads events for as long as the page lives.
 * @param {import('./api.js').Api} api
 * @param {Handlers} handlers
 */
export async function follow(api, handlers) {
  let pause_ms = FIRST_PAUSE_MS;
  const live = () => {
    pause_ms = FIRST_PAUSE_MS;
    handlers.onState('live');
  };
  for (;;) {
    try {
      await readOnce(api, live, handlers.onEvent);
    } catch (error) {
      if (!(error instanceof ApiError || error instanceof DOMException || error instanceof TypeError)) throw error;
    }
    handlers.onState('lost');
    await pause(pause_ms);
    pause_ms = Math.min(pause_ms * 2, MAX_PAUSE_MS);
  }
}

/** Ends early when there is another token: it may be what the stream wants. @param {number} pause_ms */
function pause(pause_ms) {
  return new Promise((resolve) => {
    setTimeout(resolve, pause_ms);
    document.addEventListener(TOKEN_EVENT, resolve, { once: true });
  });
}

/**
 * @param {import('./api.js').Api} api
 * @param {() => void} onOpen
 * @param {(event: ServerEvent) => void} onEvent
 */
async function readOnce(api, onOpen, onEvent) {
  const abort = new AbortController();
  let watchdog = setTimeout(() => abort.abort(), SILENCE_MS);
  const response = await api.send('events', {}, abort.signal, { accept: 'text/event-stream' });
  try {
    if (!response.ok || !response.body) throw new ApiError(response.status, 'no stream');
    onOpen();
    const parser = createParser(onEvent);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(watchdog);
      watchdog = setTimeout(() => abort.abort(), SILENCE_MS);
      parser(value);
    }
  } finally {
    clearTimeout(watchdog);
    abort.abort();
  }
}

/**
 * The event stream format of the HTML standard, without `retry`.
 * @param {(event: ServerEvent) => void} onEvent
 * @returns {(text: string) => void} Takes the stream piece by piece.
 */
export function createParser(onEvent) {
  let buffered = '';
  let fields = { event: 'message', data: [''].slice(1), id: '' };
  const line = (/** @type {string} */ text) => {
    if (text === '') {
      if (fields.data.length > 0) onEvent({ ...fields, data: fields.data.join('\n') });
      fields = { event: 'message', data: [], id: '' };
      return;
    }
    const [, name, value] = /^([^:]*):? ?(.*)$/s.exec(text) ?? [];
    if (name === 'data') fields.data.push(value);
    else if (name === 'event' || name === 'id') fields[name] = value;
  };
  return (text) => {
    const lines = (buffered + text).split(/\r?\n/);
    buffered = lines.pop() ?? '';
    if (buffered.length > MAX_BUFFERED) throw new TypeError('a line of the stream is too long');
    lines.forEach(line);
  };
}
