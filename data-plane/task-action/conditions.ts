/** The conditions by which Kubernetes' tools (`kubectl wait`) follow an object: what the last phase comes to. Pure. */
import type { AttemptError, Transition } from "../executor/index.ts";
import type { TaskActionCondition } from "./task-action.ts";

const progress: Partial<Record<Transition["phase"], string>> = {
  waitingForResources: "Queued",
  initializing: "Initializing",
  running: "Executing",
};
/** Codes of errors that are reasons of their own. */
const reasons: ReadonlySet<string> = new Set(["PluginNotFound", "InvalidSpec"]);
const maxMessage = 4 << 10;

export function conditionsOf(transitions: readonly Transition[]): TaskActionCondition[] {
  const last = transitions.at(-1);
  if (!last) return [];
  const lastTransitionTime = last.at.toISOString();
  const made = (
    type: TaskActionCondition["type"],
    status: TaskActionCondition["status"],
    reason: string,
    message = "",
  ): TaskActionCondition => ({
    type,
    status,
    reason,
    ...(message === "" ? {} : { message: message.slice(0, maxMessage) }),
    lastTransitionTime,
  });
  const going = progress[last.phase];
  if (going) return [made("Progressing", "True", going)];
  if (last.phase === "succeeded") {
    return [made("Progressing", "False", "Completed"), made("Succeeded", "True", "Completed")];
  }
  const error = "error" in last ? last.error : undefined;
  const reason = failureReason(last.phase, error);
  return [made("Progressing", "False", reason), made("Failed", "True", reason, error?.message)];
}

function failureReason(phase: Transition["phase"], error: AttemptError | undefined): string {
  if (phase === "aborted") return "Aborted";
  if (phase === "timedOut") return "TimedOut";
  if (error && reasons.has(error.code)) return error.code;
  return error?.recoverable ? "RetryableFailure" : "PermanentFailure";
}
