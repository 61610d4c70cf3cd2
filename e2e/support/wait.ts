/** Waiting for a condition. The deadline only ends a test that hangs; it says nothing about speed. */
import { setTimeout as sleep } from "node:timers/promises";

export interface WaitOptions {
  /** What is waited for, for the message when it never comes. */
  what: string;
  deadlineMs?: number;
  everyMs?: number;
  /** Told when the wait was in vain, for example the server's log. */
  explain?: () => string | Promise<string>;
}

/** Asks until the answer is neither undefined, null nor false; an error counts as "not yet". */
export async function waitFor<T>(probe: () => Promise<T> | T, options: WaitOptions): Promise<NonNullable<T>> {
  const { what, deadlineMs = 120_000, everyMs = 100, explain } = options;
  const end = performance.now() + deadlineMs;
  let last: unknown;
  for (;;) {
    try {
      const answer = await probe();
      last = answer;
      if (answer !== undefined && answer !== null && answer !== false) return answer;
    } catch (error) {
      last = error;
    }
    if (performance.now() > end) {
      const seen = last instanceof Error ? `${last.name}: ${last.message}` : String(last);
      const more = explain ? `\n${await explain()}` : "";
      throw new Error(`waited ${deadlineMs / 1000} s in vain for ${what}; last seen: ${seen}${more}`);
    }
    await sleep(everyMs);
  }
}
