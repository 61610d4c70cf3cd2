/**
 * A keyed work queue: level-triggered, the same key never twice at once.
 *
 * `add` marks a key; `reconcile` is called for it once more after the last mark, however many marks came in between.
 * A throw makes the key come back with exponential backoff and touches no other key. "Come back in N" results share one
 * timer, so that tens of thousands of waiting keys cost no more than their entry in a heap.
 */
import { wakeQueue } from "./wake-queue.ts";

/** Milliseconds after which to look again; nothing when only a mark brings the key back. */
export type Again = number | undefined;

export interface ReconcilerOptions {
  /** `failures`: how often this key threw in a row before. */
  reconcile(key: string, failures: number): Again | Promise<Again>;
  /** Told about every throw; must not throw itself. */
  onError(key: string, error: unknown, failures: number): void;
  /** Keys worked on at once. */
  concurrency?: number;
  backoff?: { firstMs: number; maxMs: number };
  /** After every call, for metrics. */
  onCall?(seen: CallSeen): void;
}

export interface CallSeen {
  ok: boolean;
  ms: number;
  /** Keys that are due and wait for their turn. */
  ready: number;
  /** Keys worked on now. */
  active: number;
}

export interface Reconciler {
  add(key: string): void;
  /** Marks a key in so many milliseconds at the latest; an earlier mark or wait makes this one superfluous. */
  addAfter(key: string, inMs: number): void;
  /** Drops waits and failures of a key that is gone. A call in progress ends by itself. */
  forget(key: string): void;
  /** Works until the signal aborts, then waits for the calls in progress. */
  run(signal: AbortSignal): Promise<void>;
}

/** Calls in a row before timers and sockets get their turn. */
const SLICE = 32;

export function reconciler(options: ReconcilerOptions): Reconciler {
  const concurrency = options.concurrency ?? 64;
  const backoff = options.backoff ?? { firstMs: 50, maxMs: 30_000 };
  const ready = new Set<string>();
  const active = new Set<string>();
  const markedAgain = new Set<string>();
  const failures = new Map<string, number>();
  let running = false;
  let stopped = false;
  let scheduled = false;
  let idle: (() => void) | undefined;
  const waits = wakeQueue((key) => add(key));

  function add(key: string): void {
    if (active.has(key)) {
      markedAgain.add(key);
      return;
    }
    ready.add(key);
    schedule();
  }

  function schedule(): void {
    if (scheduled || !running) return;
    scheduled = true;
    setImmediate(work);
  }

  function work(): void {
    scheduled = false;
    let calls = 0;
    for (const key of ready) {
      if (!running || active.size >= concurrency) return;
      if (calls >= SLICE) {
        schedule();
        return;
      }
      calls += 1;
      ready.delete(key);
      waits.cancel(key);
      active.add(key);
      void call(key);
    }
  }

  async function call(key: string): Promise<void> {
    const failedBefore = failures.get(key) ?? 0;
    const started = performance.now();
    let ok = true;
    let again: Again;
    try {
      again = await options.reconcile(key, failedBefore);
      if (failedBefore > 0) failures.delete(key);
    } catch (error) {
      ok = false;
      failures.set(key, failedBefore + 1);
      again = Math.min(backoff.firstMs * 2 ** failedBefore, backoff.maxMs);
      options.onError(key, error, failedBefore + 1);
    }
    active.delete(key);
    if (markedAgain.delete(key)) ready.add(key);
    else if (again !== undefined && running) waits.by(key, again);
    options.onCall?.({ ok, ms: performance.now() - started, ready: ready.size, active: active.size });
    if (ready.size > 0) schedule();
    if (active.size === 0) idle?.();
  }

  return {
    add,
    addAfter(key, inMs) {
      if (!stopped && !ready.has(key)) waits.by(key, inMs);
    },
    forget(key) {
      waits.cancel(key);
      failures.delete(key);
      ready.delete(key);
      markedAgain.delete(key);
    },
    async run(signal) {
      if (signal.aborted) return;
      running = true;
      schedule();
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
      running = false;
      stopped = true;
      waits.clear();
      if (active.size > 0) await new Promise<void>((resolve) => (idle = resolve));
    },
  };
}
