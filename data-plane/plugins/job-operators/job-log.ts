/** The log of an attempt that is a job: that of the pod which speaks for it, followed while it runs and stored once. */
import { StoreUnavailableError } from "@flyte-ts/platform/object-store";
import type { AttemptContext } from "../../executor/index.ts";
import type { Pod } from "../pod/objects.ts";
import { isPassing } from "../pod/refusal.ts";
import type { Note } from "./note.ts";
import type { JobOptions } from "./options.ts";

export interface JobLog {
  /** Called whenever the pod may have changed. Notes which pod it is. */
  follow(context: AttemptContext, speaker: Pod | undefined, note: Note): Promise<void>;
  /** The end of the attempt's log; later calls do nothing. Throws while the cluster or the store is away. */
  finish(context: AttemptContext, note: Note): Promise<void>;
}

export function jobLog({ logs, log }: Pick<JobOptions, "logs" | "log">): JobLog {
  return {
    async follow(context, speaker, note) {
      if (!speaker || note.logged || !hasSpoken(speaker)) return;
      note.speaker = speaker.metadata.name;
      try {
        await logs?.follow(context.places.attemptUri, speaker);
      } catch (error) {
        log.warn({ attempt: context.key, err: error }, "the log of a job cannot be followed");
      }
    },
    async finish(context, note) {
      if (note.speaker === "" || note.logged) return;
      try {
        await logs?.finish(context.places.attemptUri, { namespace: note.job?.namespace ?? "", name: note.speaker });
      } catch (error) {
        if (isAway(error)) throw error;
        log.warn({ attempt: context.key, err: error }, "the log of a job cannot be stored");
      }
      note.logged = true;
    },
  };
}

/** Nobody knows more than before: it is worth another try, and no attempt's fault. */
export function isAway(error: unknown): boolean {
  return isPassing(error) || error instanceof StoreUnavailableError;
}

/** One of its containers has written, or may have. */
function hasSpoken({ status }: Pod): boolean {
  return (status?.containerStatuses ?? []).some(({ state }) => state?.running ?? state?.terminated);
}
