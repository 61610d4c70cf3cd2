/** Waits while the object store is away, and tries again. */
import { setTimeout as sleep } from "node:timers/promises";
import { isStoreTrouble } from "./staging-error.ts";

export interface Patience {
  /** How long trouble may last without any success in between. */
  ms: number;
  signal?: AbortSignal;
  /** Hears of each try that failed. */
  onTrouble?(error: Error, waitMs: number): void;
}

const FIRST_MS = 200;
const MOST_MS = 10_000;

/**
 * Without patience the first trouble is thrown. `act` is told of the try, and may note progress: then the patience
 * begins anew.
 */
export async function patiently<T>(
  patience: Patience | undefined,
  act: (progress: () => void) => Promise<T>,
): Promise<T> {
  let since: number | undefined;
  let wait = FIRST_MS;
  const progress = () => {
    since = undefined;
    wait = FIRST_MS;
  };
  for (;;) {
    try {
      return await act(progress);
    } catch (error) {
      if (!patience || !isStoreTrouble(error)) throw error;
      const now = performance.now();
      since ??= now;
      if (now - since >= patience.ms) throw error;
      patience.onTrouble?.(error, wait);
      await sleep(wait, undefined, patience.signal ? { signal: patience.signal } : {});
      wait = Math.min(wait * 2, MOST_MS);
    }
  }
}
