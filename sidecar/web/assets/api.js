/**
 * The HTTP API, and nothing but it.
 *
 * Contract: every answer that is not a success becomes an [`ApiError`] with the server's own sentence; no answer at
 * all is an `ApiError` with status 0. On 401 and 403 the user is asked for a token and the request made again, until
 * it works or the user gives up. The token lives in `sessionStorage` alone: it goes with the tab.
 */

const TOKEN = 'beaconwatch.token';
const TIMEOUT_MS = 30_000;
/** Sent on `document` when there is another token, or none. */
export const TOKEN_EVENT = 'beaconwatch-token';

export class ApiError extends Error {
  /** @param {number} status 0 when there was no answer. @param {string} message */
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/**
 * @typedef {Record<string, string | number | boolean | null | undefined>} Query
 * @typedef {(reason: import('./parts/sign-in.js').Refusal) => Promise<string | null>} AskForToken
 * @typedef {{method?: string, query?: Query, body?: unknown, ask?: boolean}} Options
 */

export class Api {
  /** @param {AskForToken} askForToken @param {(signedIn: boolean) => void} onToken */
  constructor(askForToken, onToken) {
    this.askForToken = askForToken;
    this.onToken = onToken;
  }

  /** @returns {string | null} */
  get token() {
    return sessionStorage.getItem(TOKEN);
  }

  /** @param {string | null} token */
  set token(token) {
    if (token) sessionStorage.setItem(TOKEN, token);
    else sessionStorage.removeItem(TOKEN);
    this.onToken(Boolean(token));
    document.dispatchEvent(new Event(TOKEN_EVENT));
  }

  /** @param {string} path @param {Query} [query] */
  get(path, query) {
    return this.request(path, { query });
  }

  /** @param {string} path @param {unknown} [body] @param {Query} [query] */
  post(path, body = {}, query) {
    return this.request(path, { method: 'POST', body, query });
  }

  /** @param {string} path */
  delete(path) {
    return this.request(path, { method: 'DELETE' });
  }

  /**
   * @param {string} path Below `/api/v1/`.
   * @param {Options} [options] `ask: false` never asks for a token.
   * @returns {Promise<any>}
   */
  async request(path, options = {}) {
    for (;;) {
      const sent = this.token;
      const response = await this.send(path, options, AbortSignal.timeout(TIMEOUT_MS));
      if (response.ok) return response.status === 204 ? null : readJson(response);
      const error = new ApiError(response.status, await sentence(response));
      const wantsToken = (error.status === 401 || error.status === 403) && options.ask !== false;
      if (!wantsToken) throw error;
      // Another request may have been given a token meanwhile.
      const token = this.token !== sent ? this.token : await this.askForToken({ status: error.status, message: error.message, tokenSent: Boolean(sent) });
      if (!token) throw error;
      this.token = token;
    }
  }

  /**
   * @param {string} path @param {Options} options @param {AbortSignal} signal
   * @param {Record<string, string>} [extra] More headers.
   * @returns {Promise<Response>}
   */
  async send(path, options, signal, extra = {}) {
    /** @type {Record<string, string>} */
    const headers = { accept: 'application/json', ...extra };
    if (this.token) headers.authorization = `Bearer ${this.token}`;
    const body = options.body === undefined ? undefined : JSON.stringify(options.body);
    if (body !== undefined) headers['content-type'] = 'application/json';
    try {
      const init = { method: options.method ?? 'GET', headers, body, signal };
      return await fetch(`/api/v1/${path}${queryText(options.query)}`, { ...init, credentials: 'omit', cache: 'no-store' });
    } catch (error) {
      const late = error instanceof DOMException && error.name === 'TimeoutError';
      throw new ApiError(0, late ? `No answer within ${TIMEOUT_MS / 1000} s.` : 'Beaconwatch does not answer.');
    }
  }
}

/** @param {Query} [query] Empty values are left out. */
export function queryText(query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== '');
  if (given.length === 0) return '';
  return `?${new URLSearchParams(given.map(([name, value]) => [name, String(value)]))}`;
}

/** @param {Response} response */
async function readJson(response) {
  try {
    return await response.json();
  } catch {
    throw new ApiError(0, 'The answer ended too early or is not JSON.');
  }
}

/** What the server says is wrong. @param {Response} response */
async function sentence(response) {
  try {
    const { error } = await response.json();
    if (typeof error === 'string') return error;
  } catch {
    // Not ours to read: a proxy in between answered.
  }
  return `The server answered ${response.status} ${response.statusText}`.trim();
}
