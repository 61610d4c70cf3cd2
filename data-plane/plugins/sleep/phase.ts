/** What a sleep of known length has come to. Pure. */
import type { Step, Transition } from "../../executor/index.ts";

export interface Sleep {
  durationMs: number;
  /** When it began; undefined before its first step. */
  startedAt: Date | undefined;
  now: Date;
}

export function sleepStep({ durationMs, startedAt, now }: Sleep): Step {
  const transitions: Transition[] = startedAt ? [] : [{ phase: "running", at: now }];
  const leftMs = (startedAt ?? now).getTime() + durationMs - now.getTime();
  if (leftMs > 0) return { transitions, after: leftMs };
  transitions.push({ phase: "succeeded", at: now });
  return { transitions, released: true };
}

export function badSleep(reason: string, now: Date): Step {
  const message = `the core-sleep task cannot run: ${reason}`;
  const error = { code: "BadTaskSpecification", message, kind: "user", recoverable: false } as const;
  return { transitions: [{ phase: "failed", at: now, error }], released: true };
}
