/**
 * Which kinds of job the cluster lacks, as far as it was asked: those it does not serve, and those this executor may not use.
 *
 * Promise: says nothing before every kind was asked for once; a question without an answer changes nothing that was known.
 */
import type { Log } from "../../executor/index.ts";
import type { JobKind } from "./kind.ts";

export type Answer = "yes" | "unknown" | "forbidden";

export interface KindPresence {
  /** `unasked`: the cluster gave no answer. */
  tell(kind: JobKind, answer: Answer | "unasked"): void;
  lacks(kind: JobKind): boolean;
  lacking(signal: AbortSignal): Promise<readonly JobKind[]>;
  onChange(changed: () => void): void;
}

export function kindPresence(kinds: readonly JobKind[], log: Log): KindPresence {
  const answers = new Map<JobKind, Answer | "unasked">();
  const listeners: (() => void)[] = [];
  const complete = Promise.withResolvers<void>();
  if (kinds.length === 0) complete.resolve();
  const lacks = (kind: JobKind) => answers.get(kind) !== "yes";

  return {
    lacks,
    tell(kind, answer) {
      const before = answers.get(kind);
      if (answer === before || (answer === "unasked" && before !== undefined)) return;
      const known = answers.size === kinds.length;
      const lacked = lacks(kind);
      answers.set(kind, answer);
      log.info({ kind: kind.kind, served: answer === "yes", answer }, "whether the cluster runs a kind of job");
      if (answers.size === kinds.length) complete.resolve();
      if (known && lacks(kind) !== lacked) for (const changed of listeners) changed();
    },
    async lacking(signal) {
      const stopped = Promise.withResolvers<void>();
      signal.addEventListener("abort", () => stopped.resolve(), { once: true });
      if (!signal.aborted) await Promise.race([complete.promise, stopped.promise]);
      return kinds.filter(lacks);
    },
    onChange: (changed) => void listeners.push(changed),
  };
}
