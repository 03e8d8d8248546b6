/** What more than one part of the page shows: whether the stream is up, the sidecar's health, who is signed in. */

/**
 * @typedef {object} State
 * @property {'connecting' | 'live' | 'lost'} connection
 * @property {{status: string, version: string, uptime_seconds: number, problems: string[]} | null} health
 * @property {Record<string, unknown> | null} counters The newest `status` event.
 * @property {boolean} signedIn
 */

/**
 * @template {object} T
 * @param {T} initial
 */
export function createStore(initial) {
  let state = initial;
  /** @type {Set<(state: T, before: T) => void>} */
  const listeners = new Set();
  return {
    get: () => state,
    /** @param {Partial<T>} change */
    set(change) {
      const before = state;
      state = { ...state, ...change };
      for (const listener of [...listeners]) listener(state, before);
    },
    /**
     * @param {(state: T, before: T) => void} listener
     * @returns {() => void} Ends the subscription.
     */
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}
