/** When the control plane must look at a live action again, and what it then says. Limits per attempt belong to the executor. */
import type { TaskPolicy } from "./task-policy.ts";

/** Codes by which the SDK picks the exception class. */
export const TimeoutCode = {
  queued: "QUEUED_TIMEOUT_EXCEEDED",
  deadline: "DEADLINE_EXCEEDED",
  condition: "ConditionTimedOut",
} as const;

export interface TimedAction {
  enqueuedAt: Date;
  /** When the current attempt was queued. */
  queuedAt: Date;
  running: boolean;
}

/** What lies further away, in milliseconds since 1970, is no limit: no date of the database could hold it. */
const FURTHEST = Date.UTC(9999, 0, 1);

/** The earliest moment at which a limit is passed; undefined when none applies. */
export function dueAt(
  policy: Pick<TaskPolicy, "queuedTimeoutMs" | "deadlineMs">,
  action: TimedAction,
): Date | undefined {
  const limits: number[] = [];
  if (policy.deadlineMs > 0) limits.push(action.enqueuedAt.getTime() + policy.deadlineMs);
  if (policy.queuedTimeoutMs > 0 && !action.running) limits.push(action.queuedAt.getTime() + policy.queuedTimeoutMs);
  const earliest = Math.min(...limits);
  return earliest < FURTHEST ? new Date(earliest) : undefined;
}

/** The code of the limit that was passed at `now`, if any; the deadline wins. */
export function passedLimit(
  policy: Pick<TaskPolicy, "queuedTimeoutMs" | "deadlineMs">,
  action: TimedAction,
  now: Date,
): { code: string; message: string } | undefined {
  if (policy.deadlineMs > 0 && now.getTime() >= action.enqueuedAt.getTime() + policy.deadlineMs) {
    return {
      code: TimeoutCode.deadline,
      message: `the action did not end within its deadline of ${policy.deadlineMs / 1000} s over all attempts`,
    };
  }
  if (
    policy.queuedTimeoutMs > 0 &&
    !action.running &&
    now.getTime() >= action.queuedAt.getTime() + policy.queuedTimeoutMs
  ) {
    return {
      code: TimeoutCode.queued,
      message: `the action waited longer than its queued timeout of ${policy.queuedTimeoutMs / 1000} s for a place to run`,
    };
  }
  return undefined;
}
