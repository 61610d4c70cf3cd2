/**
 * The calls to one connector: few at once, not too many a second, in the order they were asked for, and one at a time for
 * an attempt. They run beside the executor's steps, so a connector that hangs holds up nobody but its own attempts.
 *
 * While the connector is away nothing is sent but one call now and then, with growing pauses; the others wait for it.
 */

export interface CallsOptions {
  concurrency: number;
  perSecond: number;
  awayFirstMs: number;
  awayMaxMs: number;
}

/** How a call went, as far as the others are concerned: `away` holds a reason. */
export interface Went {
  away?: string | undefined;
}

export interface Calls<T extends Went> {
  /**
   * Has a call made for `key`; `settled` when its outcome can be taken. A key that has a call under way, or an outcome
   * that nobody took, is left as it is.
   */
  start(key: string, call: () => Promise<T>, settled: () => void): void;
  /** Waits or runs. */
  isBusy(key: string): boolean;
  /** Takes back a call that has not begun; false when there is none that only waits. */
  withdraw(key: string): boolean;
  /** The outcome of a call that has ended, once. A call that threw throws here. */
  take(key: string): T | undefined;
  /** Drops what waits, and the outcome; a call that runs goes on and is forgotten. */
  forget(key: string): void;
  /** Why nothing is sent now. */
  readonly away: string | undefined;
  /** Sends nothing new and waits for the calls that run. */
  drain(): Promise<void>;
}

interface Entry<T> {
  call: () => Promise<T>;
  settled: () => void;
  outcome?: { value: T } | { error: unknown };
}

/** Calls that may be sent at once after a silence, in seconds' worth. */
const BURST_S = 1;

export function calls<T extends Went>(options: CallsOptions): Calls<T> {
  const entries = new Map<string, Entry<T>>();
  const waiting = new Map<string, Entry<T>>();
  const running = new Set<Promise<void>>();
  const everyMs = 1000 / options.perSecond;
  let turnAt = 0;
  let failures = 0;
  let away: string | undefined;
  let awayUntil = 0;
  let timer: NodeJS.Timeout | undefined;
  let draining = false;

  function pump(): void {
    clearTimeout(timer);
    timer = undefined;
    for (const [key, entry] of waiting) {
      if (draining || running.size >= (away === undefined ? options.concurrency : 1)) return;
      const now = performance.now();
      turnAt = Math.max(turnAt, now - BURST_S * 1000);
      const dueIn = Math.max(awayUntil, turnAt) - now;
      if (dueIn > 0) {
        timer = setTimeout(pump, Math.ceil(dueIn));
        return;
      }
      turnAt += everyMs;
      waiting.delete(key);
      const run = make(entry).finally(() => {
        running.delete(run);
        pump();
      });
      running.add(run);
    }
  }

  async function make(entry: Entry<T>): Promise<void> {
    try {
      const value = await entry.call();
      entry.outcome = { value };
      weather(value.away);
    } catch (error) {
      entry.outcome = { error };
    }
    entry.settled();
  }

  function weather(now: string | undefined): void {
    if (now === undefined) {
      failures = 0;
      awayUntil = 0;
      away = undefined;
      return;
    }
    const begins = away === undefined;
    away = now;
    // Jitter: executors that lost the same connector do not come back together.
    const pauseMs = Math.min(options.awayFirstMs * 2 ** failures, options.awayMaxMs) * (0.75 + Math.random() / 2);
    failures += 1;
    awayUntil = performance.now() + pauseMs;
    // Those that wait may tell why.
    if (begins) for (const { settled } of waiting.values()) settled();
  }

  return {
    start(key, call, settled) {
      if (entries.has(key) || draining) return;
      const entry = { call, settled };
      entries.set(key, entry);
      waiting.set(key, entry);
      if (!timer) pump();
    },
    isBusy(key) {
      const entry = entries.get(key);
      return entry !== undefined && entry.outcome === undefined;
    },
    withdraw(key) {
      if (!waiting.delete(key)) return false;
      entries.delete(key);
      return true;
    },
    take(key) {
      const outcome = entries.get(key)?.outcome;
      if (!outcome) return undefined;
      entries.delete(key);
      if ("error" in outcome) throw outcome.error;
      return outcome.value;
    },
    forget(key) {
      entries.delete(key);
      waiting.delete(key);
    },
    get away() {
      return away;
    },
    async drain() {
      draining = true;
      clearTimeout(timer);
      waiting.clear();
      await Promise.allSettled(running);
    },
  };
}
