/** What one intent does to one locked action. Pure: changes only the working copy that it is given. */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { CatalogCacheStatus } from "@flyte-ts/contract/flyteidl2/core/catalog_pb.ts";
import {
  ContainerError_Kind,
  ExecutionError_ErrorKind,
  ExecutionErrorSchema,
} from "@flyte-ts/contract/flyteidl2/core/execution_pb.ts";
import { ActionType } from "@flyte-ts/contract/flyteidl2/workflow/run_definition_pb.ts";
import {
  ActionPhase,
  type AttemptFailure,
  applyReport,
  isTerminal,
  passedLimit,
  type TaskPolicy,
  TimeoutCode,
  toDate,
} from "@flyte-ts/core";
import { ItemState, type LockedItem } from "../queue-service/store.ts";
import type { Intent, IntentResult } from "./state-writer.ts";
import type { ActionMove, LockedAction } from "./store.ts";

/** An action under decision: the locked rows, and what the intents so far make of them. */
export interface Working {
  action: LockedAction;
  item: LockedItem | undefined;
  policy: TaskPolicy;
  /** Columns to write; absent while nothing changes. */
  move?: Partial<ActionMove>;
  queue?: { kind: "delete" } | { kind: "ending" } | { kind: "running" } | { kind: "retry"; delayMs: number };
}

export function decide(working: Working, intent: Intent, now: Date): IntentResult {
  switch (intent.kind) {
    case "report":
      return decideReport(working, intent);
    case "abort":
      return decideAbort(working, intent, now);
    case "signal":
      return decideSignal(working, intent, now);
    case "expire":
      return decideExpiry(working, now);
  }
}

/** The phase as the intents before this one in the group leave it. */
function phaseNow({ action, move }: Working): number {
  return move?.phase ?? action.phase;
}

function decideReport(working: Working, { report, cluster }: Intent & { kind: "report" }): IntentResult {
  const { action, item, policy, move } = working;
  const lease = item && {
    epoch: item.epoch,
    attempt: item.attempt,
    live: item.state === ItemState.leased && working.queue?.kind !== "delete" && working.queue?.kind !== "ending",
  };
  if (working.queue?.kind === "retry") return "stale";
  const effect = applyReport(
    {
      phase: phaseNow(working),
      startedAt: move?.startedAt ?? action.startedAt,
      userFailures: action.userFailures,
      systemFailures: action.systemFailures,
    },
    lease,
    {
      epoch: report.epoch,
      attempt: report.attempt,
      transitions: report.transitions.flatMap(({ phase, at }) => (at ? [{ phase, at: toDate(at) }] : [])),
      released: report.released,
      ...(report.error.length > 0 && { failure: failureOf(report.error) }),
    },
    policy.retry,
  );
  switch (effect.kind) {
    case "stale":
      return "stale";
    case "cleanup":
      if (effect.release) working.queue = { kind: "delete" };
      return "applied";
    case "none":
      return "applied";
    case "move":
      working.move = { ...move, phase: effect.phase, startedAt: effect.startedAt };
      if (effect.phase === ActionPhase.RUNNING) working.queue = { kind: "running" };
      return "applied";
    case "retry":
      working.move = {
        ...move,
        ...effect.counts,
        phase: ActionPhase.QUEUED,
        // The next attempt has a start of its own.
        startedAt: null,
        attempts: action.attempts + 1,
      };
      working.queue = { kind: "retry", delayMs: effect.delayMs };
      return "applied";
    case "end": {
      const succeeded = effect.phase === ActionPhase.SUCCEEDED;
      working.move = {
        ...move,
        ...effect.counts,
        phase: effect.phase,
        startedAt: effect.startedAt,
        endedAt: effect.endedAt,
        error: succeeded ? null : report.error.length > 0 ? report.error : null,
        ...(succeeded && { outputUri: report.outputUri }),
        // Nobody asked us to: it was ended where it ran.
        ...(effect.phase === ActionPhase.ABORTED && {
          abortReason: `on cluster ${cluster}: ${report.abortReason || "its executor says no reason"}`,
        }),
        ...(succeeded && action.cacheKey !== "" && { cacheStatus: CatalogCacheStatus.CACHE_POPULATED }),
      };
      working.queue = report.released ? { kind: "delete" } : { kind: "ending" };
      return "applied";
    }
  }
}

/**
 * How a failed attempt counts. What the task itself told (in its error.pb) consumes its own retries, whatever kind it
 * calls it; unknown kinds are the system's, so that nobody loses a try to our ignorance.
 */
function failureOf(error: Uint8Array): AttemptFailure {
  const { kind, recoverability, errorUri } = fromBinary(ExecutionErrorSchema, error);
  return {
    kind: kind === ExecutionError_ErrorKind.USER || errorUri !== "" ? "user" : "system",
    recoverable: recoverability === ContainerError_Kind.RECOVERABLE,
  };
}

function decideAbort(working: Working, { reason, by }: Intent & { kind: "abort" }, now: Date): IntentResult {
  if (isTerminal(phaseNow(working)) || !working.item) return "already-terminal";
  end(working, { phase: ActionPhase.ABORTED, abortReason: reason, abortedBy: by, endedAt: now });
  return "applied";
}

function decideSignal(working: Working, { value, by }: Intent & { kind: "signal" }, now: Date): IntentResult {
  const { action } = working;
  if (action.kind !== ActionType.CONDITION) return "not-a-condition";
  if (isTerminal(phaseNow(working))) {
    const given = working.move?.value ?? action.value;
    // The same answer again is no error: a client may repeat a call whose answer it did not see.
    return given && Buffer.compare(given, value) === 0 ? "applied" : "already-terminal";
  }
  end(working, { phase: ActionPhase.SUCCEEDED, value, signalledBy: by, endedAt: now });
  return "applied";
}

function decideExpiry(working: Working, now: Date): IntentResult {
  const { action, item, policy } = working;
  if (isTerminal(phaseNow(working)) || !item) return "already-terminal";
  // The limit was the last attempt's; the next one begins with limits of its own.
  if (working.queue?.kind === "retry") return "stale";
  const passed =
    action.kind === ActionType.CONDITION
      ? { code: TimeoutCode.condition, message: "nobody signalled the condition within its timeout" }
      : passedLimit(
          policy,
          {
            enqueuedAt: action.createdAt,
            queuedAt: item.enqueuedAt,
            running: phaseNow(working) === ActionPhase.RUNNING,
          },
          now,
        );
  if (!passed) return "stale";
  const error = create(ExecutionErrorSchema, {
    ...passed,
    kind: ExecutionError_ErrorKind.USER,
    recoverability: ContainerError_Kind.NON_RECOVERABLE,
  });
  end(working, { phase: ActionPhase.TIMED_OUT, error: toBinary(ExecutionErrorSchema, error), endedAt: now });
  return "applied";
}

function end(working: Working, move: Partial<ActionMove>): void {
  working.move = { ...working.move, ...move };
  working.queue = working.item?.state === ItemState.leased ? { kind: "ending" } : { kind: "delete" };
}
