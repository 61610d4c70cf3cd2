/**
 * What changed and was not read yet: per key the latest. A slow reader finds the newest state of each, so its memory is
 * bounded by the things there are and it has no gap.
 *
 * Promise: what is put before `next` is called, or while it waits, is given by it or by a later call. Subscribe, put from
 * the subscription, read the snapshot, then loop over `next`.
 *
 *     const pending = coalescer<string, number>({ signal });
 *     const unsubscribe = subscribe((name, version) => pending.put(name, version));
 *     for (let turn = await pending.next(); turn.kind !== "over"; turn = await pending.next()) …
 */

/** Calls back after some milliseconds, unless the function it gave is called before. */
export type Timer = (ms: number, call: () => void) => () => void;

export const systemTimer: Timer = (ms, call) => {
  const timeout = setTimeout(call, ms);
  timeout.unref();
  return () => clearTimeout(timeout);
};

export type Turn<Key, Value> =
  | { kind: "batch"; entries: [Key, Value][] }
  /** Nothing happened for `silenceMs`. */
  | { kind: "silence" }
  /** The reader left. */
  | { kind: "over" };

export interface Coalescer<Key, Value> {
  put(key: Key, value: Value): void;
  next(): Promise<Turn<Key, Value>>;
}

export interface CoalescerOptions<Value> {
  /** Ends the waiting. */
  signal: AbortSignal;
  /** Most entries in a batch; all that there are unless told. */
  max?: number;
  /** Least time from one batch to the next, so that changes gather under load; a full batch does not wait. */
  gapMs?: number;
  /** After so long without a change `next` gives `silence`. */
  silenceMs?: number;
  /** Whether `value` replaces the one that waits; always unless told. */
  replaces?: (value: Value, waiting: Value) => boolean;
  timer?: Timer;
}

export function coalescer<Key, Value>(options: CoalescerOptions<Value>): Coalescer<Key, Value> {
  const { signal, max = Number.POSITIVE_INFINITY, gapMs = 0, silenceMs, replaces, timer = systemTimer } = options;
  const pending = new Map<Key, Value>();
  let resting = false;
  let wake: (() => void) | undefined;

  const isDue = () => pending.size >= max || (pending.size > 0 && !resting);

  function take(): [Key, Value][] {
    const entries: [Key, Value][] = [];
    for (const entry of pending) {
      if (entries.length >= max) break;
      entries.push(entry);
      pending.delete(entry[0]);
    }
    if (gapMs > 0 && !resting) {
      resting = true;
      timer(gapMs, () => {
        resting = false;
        if (isDue()) wake?.();
      });
    }
    return entries;
  }

  /** True when something is due or the reader left, false after the silence. */
  async function due(): Promise<boolean> {
    if (signal.aborted || isDue()) return true;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    wake = () => resolve(true);
    signal.addEventListener("abort", wake, { once: true });
    const aborted = wake;
    const cancel = silenceMs === undefined ? undefined : timer(silenceMs, () => resolve(pending.size > 0));
    try {
      return await promise;
    } finally {
      cancel?.();
      signal.removeEventListener("abort", aborted);
      wake = undefined;
    }
  }

  return {
    put(key, value) {
      const waiting = pending.get(key);
      if (waiting === undefined || !replaces || replaces(value, waiting)) pending.set(key, value);
      if (isDue()) wake?.();
    },
    async next() {
      for (;;) {
        const something = await due();
        if (signal.aborted) return { kind: "over" };
        if (isDue()) return { kind: "batch", entries: take() };
        if (!something) return { kind: "silence" };
      }
    },
  };
}
