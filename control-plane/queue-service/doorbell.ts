/** Rung by anybody at any time; what rings during the work is answered in the next round. */
import { fullHint, noHint, type QueueHint } from "../state-service/bus.ts";

export interface Round {
  hint: QueueHint;
  /** It is time to compare with what is held, whatever rang. */
  recheck: boolean;
  /** Time to take also what peers have left. */
  leftovers: boolean;
}

export interface Doorbell {
  ring(hint: QueueHint): void;
  /** Rings when the next delayed retry becomes pending. */
  ringForRetry(ms: number | null): void;
  /** Rings for what was left to peers, unless that is under way. */
  ringForLeftovers(ms: number): void;
  answer(): Round;
  wait(isDue: () => boolean): Promise<void>;
  close(): void;
}

const work = { ...noHint, work: true };

export function doorbell(signal: AbortSignal, recheckMs: number): Doorbell {
  let rung = fullHint;
  let recheck = false;
  let leftovers = false;
  let wake: (() => void) | undefined;
  let retry: NodeJS.Timeout | undefined;
  let later: NodeJS.Timeout | undefined;
  const ring = (hint: QueueHint) => {
    rung = {
      work: rung.work || hint.work,
      retries: rung.retries || hint.retries,
      endings: rung.endings || hint.endings,
      routes: rung.routes || hint.routes,
    };
    wake?.();
  };
  // Another replica may have been lost with a notification in its hands: look by oneself now and then.
  const rechecks = setInterval(() => {
    recheck = true;
    ring(fullHint);
  }, recheckMs);
  const stop = () => wake?.();
  signal.addEventListener("abort", stop);
  return {
    ring,
    ringForRetry(ms) {
      clearTimeout(retry);
      if (ms !== null) retry = setTimeout(() => ring({ ...work, retries: true }), Math.max(ms, 1));
    },
    ringForLeftovers(ms) {
      later ??= setTimeout(() => {
        later = undefined;
        leftovers = true;
        ring(work);
      }, ms);
    },
    answer() {
      const answer = { hint: rung, recheck, leftovers };
      rung = noHint;
      recheck = false;
      leftovers = false;
      return answer;
    },
    async wait(isDue) {
      if (isDue() || rung.work || rung.retries || rung.endings || rung.routes || signal.aborted) return;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
      wake = undefined;
    },
    close() {
      clearInterval(rechecks);
      clearTimeout(retry);
      clearTimeout(later);
      signal.removeEventListener("abort", stop);
    },
  };
}
