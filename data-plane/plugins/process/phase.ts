/** What an attempt's process came to. Pure: from what it wrote and how it ended to the attempt's last phase. */
import type { AttemptError, Transition } from "../../executor/index.ts";
import { type EndParts, endByResults, exitError, withLog } from "../../task-code/index.ts";

export interface Ended extends Omit<EndParts, "exitedZero"> {
  /** As a shell counts: 128 + n for signal n. Undefined: it vanished and left no word. */
  status: number | undefined;
  /** The kernel killed for want of memory meanwhile. */
  outOfMemory: boolean;
  lastLines: string;
}

export function endOf(ended: Ended): Transition {
  const { at, status } = ended;
  return (
    endByResults({ ...ended, exitedZero: status === 0 }) ?? {
      phase: "failed",
      at,
      error:
        status === undefined
          ? lost(ended.lastLines)
          : exitError({
              status,
              outOfMemory: status === SIGKILL && ended.outOfMemory,
              lastLines: ended.lastLines,
              what: "the task's process",
              memory: "the machine ran out of memory",
            }),
    }
  );
}

const SIGKILL = 128 + 9;

function lost(lastLines: string): AttemptError {
  const message = "the task's process vanished without an exit status while nobody watched it";
  return { code: "ProcessLost", message: withLog(message, lastLines), kind: "system", recoverable: true };
}

export function failedToStart(at: Date, error: Omit<AttemptError, "recoverable">): Transition {
  return { phase: "failed", at, error: { ...error, recoverable: false } };
}
