/** The attempts of an action as its reports tell them, merged. Pure. */
import { create, fromBinary } from "@bufbuild/protobuf";
import type { CatalogCacheStatus } from "@flyte-ts/contract/flyteidl2/core/catalog_pb.ts";
import { LogContextSchema, TaskLogSchema } from "@flyte-ts/contract/flyteidl2/core/execution_pb.ts";
import { OutputReferencesSchema } from "@flyte-ts/contract/flyteidl2/task/common_pb.ts";
import {
  type ActionAttempt,
  ActionAttemptSchema,
  ActionType,
  ClusterEventSchema,
  PhaseTransitionSchema,
} from "@flyte-ts/contract/flyteidl2/workflow/run_definition_pb.ts";
import { type AttemptReport, AttemptReportSchema } from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";
import { type ActionPhase, isTerminal, toTimestamp } from "@flyte-ts/core";
import type { ActionRow } from "../state-service/store.ts";
import { errorInfo } from "./action-view.ts";

export interface StoredEvent {
  report: Uint8Array;
  cluster: string;
}

/** In order of attempt. A live action's current attempt is listed even before its cluster has said anything. */
export function attemptsView(row: ActionRow, events: readonly StoredEvent[]): ActionAttempt[] {
  const attempts = new Map<number, ActionAttempt>();
  for (const event of events) {
    const report = fromBinary(AttemptReportSchema, event.report);
    const attempt = attempts.get(report.attempt) ?? create(ActionAttemptSchema, { attempt: report.attempt });
    attempts.set(report.attempt, attempt);
    merge(attempt, report, event.cluster);
  }
  if (row.kind !== ActionType.CONDITION) closeLast(row, attempts);
  return [...attempts.values()].sort((a, b) => a.attempt - b.attempt);
}

function merge(attempt: ActionAttempt, report: AttemptReport, cluster: string): void {
  attempt.cluster = cluster;
  for (const { phase: number, at } of report.transitions) {
    const phase = number as ActionPhase;
    if (!at || isTerminal(attempt.phase) || attempt.phaseTransitions.some((known) => known.phase === phase)) continue;
    const open = attempt.phaseTransitions.at(-1);
    if (open && !open.endTime) open.endTime = at;
    attempt.startTime ??= at;
    attempt.phase = phase;
    attempt.phaseTransitions.push(
      create(PhaseTransitionSchema, { phase, startTime: at, ...(isTerminal(phase) && { endTime: at }) }),
    );
    if (isTerminal(phase)) attempt.endTime = at;
  }
  if (report.error.length > 0) attempt.errorInfo = errorInfo(report.error);
  if (report.logContext.length > 0) attempt.logContext = fromBinary(LogContextSchema, report.logContext);
  attempt.logsAvailable ||= report.logsAvailable;
  for (const bytes of report.logInfo) {
    const log = fromBinary(TaskLogSchema, bytes);
    attempt.logInfo = [...attempt.logInfo.filter(({ name }) => name !== log.name), log];
  }
  attempt.clusterEvents.push(...report.clusterEvents.map((bytes) => fromBinary(ClusterEventSchema, bytes)));
  if (report.outputUri !== "" || report.attemptUri !== "") {
    attempt.outputs ??= create(OutputReferencesSchema);
    if (report.outputUri !== "") attempt.outputs.outputUri = `${report.outputUri.replace(/\/$/, "")}/outputs.pb`;
    if (report.attemptUri !== "") attempt.outputs.reportUri = `${report.attemptUri.replace(/\/$/, "")}/report.html`;
  }
}

/** What the control plane itself decided (abort, timeout, cache hit) has no report: the action's row tells it. */
function closeLast(row: ActionRow, attempts: Map<number, ActionAttempt>): void {
  let last = attempts.get(row.attempts);
  if (!last) {
    last = create(ActionAttemptSchema, { attempt: row.attempts, phase: row.phase as ActionPhase });
    // Until its cluster speaks, an attempt begins where the one before it ended.
    const before = attempts.get(row.attempts - 1)?.endTime;
    last.startTime = row.startedAt ? toTimestamp(row.startedAt) : (before ?? toTimestamp(row.createdAt));
    attempts.set(row.attempts, last);
  }
  last.cacheStatus = row.cacheStatus as CatalogCacheStatus;
  if (!isTerminal(row.phase)) {
    if (!isTerminal(last.phase)) last.phase = row.phase as ActionPhase;
    return;
  }
  if (isTerminal(last.phase) && last.endTime) return;
  last.phase = row.phase as ActionPhase;
  if (row.endedAt) last.endTime = toTimestamp(row.endedAt);
  if (row.error) last.errorInfo = errorInfo(row.error);
  if (row.outputUri !== "") {
    const outputUri = row.outputUri.endsWith(".pb") ? row.outputUri : `${row.outputUri.replace(/\/$/, "")}/outputs.pb`;
    last.outputs = create(OutputReferencesSchema, { outputUri });
  }
}
