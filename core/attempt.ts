/**
 * What a report of an executor does to an action: the one place where attempts end, retry or close the action.
 * Pure: state-service reads the row, asks here, and writes the answer by compare-and-set.
 */
import { ActionPhase, isLegalMove, isTerminal } from "./phase.ts";
import { type AttemptFailure, decideRetry, type FailureCounts, type RetryPolicy } from "./retry.ts";

export interface ActionNow extends FailureCounts {
  phase: number;
  startedAt: Date | null;
}

export interface LeaseNow {
  epoch: bigint;
  attempt: number;
  /** False when the action is over and its cluster only cleans up. */
  live: boolean;
}

export interface ReportIn {
  epoch: bigint;
  attempt: number;
  transitions: readonly { phase: number; at: Date }[];
  /** Of a failed or timed out attempt. */
  failure?: AttemptFailure;
  released: boolean;
}

export type ReportEffect =
  /** Not from the current attempt and lease: nothing is written. */
  | { kind: "stale" }
  /** The action is over already; with `release` its lease goes. */
  | { kind: "cleanup"; release: boolean }
  /** Nothing new. */
  | { kind: "none" }
  | { kind: "move"; phase: number; startedAt: Date | null }
  | { kind: "retry"; counts: FailureCounts; delayMs: number }
  | { kind: "end"; phase: number; counts: FailureCounts; startedAt: Date | null; endedAt: Date; exhausted: boolean };

export function applyReport(
  action: ActionNow,
  lease: LeaseNow | undefined,
  report: ReportIn,
  policy: RetryPolicy,
): ReportEffect {
  if (!lease || lease.epoch !== report.epoch || lease.attempt !== report.attempt) return { kind: "stale" };
  if (!lease.live || isTerminal(action.phase)) return { kind: "cleanup", release: report.released };

  const counts = { userFailures: action.userFailures, systemFailures: action.systemFailures };
  let phase = action.phase;
  let startedAt = action.startedAt;
  for (const transition of report.transitions) {
    // Only the control plane queues again: a report that came late or twice must not set an attempt back.
    if (transition.phase === ActionPhase.QUEUED || !isLegalMove(phase, transition.phase)) continue;
    phase = transition.phase;
    if (phase === ActionPhase.RUNNING) startedAt ??= transition.at;
    if (!isTerminal(phase)) continue;
    const endedAt = transition.at;
    if (phase !== ActionPhase.FAILED && phase !== ActionPhase.TIMED_OUT) {
      return { kind: "end", phase, counts, startedAt, endedAt, exhausted: false };
    }
    const failure = report.failure ?? { kind: "system", recoverable: true };
    const decision = decideRetry(policy, counts, failure);
    if (decision.retry) return { kind: "retry", counts: decision.counts, delayMs: decision.delayMs };
    return { kind: "end", phase, counts: decision.counts, startedAt, endedAt, exhausted: decision.exhausted };
  }
  if (phase === action.phase && startedAt === action.startedAt) return { kind: "none" };
  return { kind: "move", phase, startedAt };
}
