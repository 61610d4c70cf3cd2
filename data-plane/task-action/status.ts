/**
 * What became of an attempt as the status of a TaskAction, and back. Pure.
 *
 * Promise: an object stays small whatever a task says: long texts are cut here (their whole is in the attempt's error
 * document and in its log), and events are left out when there are too many to keep.
 */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { LogContextSchema, TaskLogSchema } from "@flyte-ts/contract/flyteidl2/core/execution_pb.ts";
import { ClusterEventSchema } from "@flyte-ts/contract/flyteidl2/workflow/run_definition_pb.ts";
import { AttemptReportSchema, type LeasedAction } from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";
import { toDate } from "@flyte-ts/core";
import { z } from "zod";
import type { ActionRecord, AttemptDetails, AttemptError, EndingIntent, Transition } from "../executor/index.ts";
import { conditionsOf } from "./conditions.ts";
import { base64, bytesOf, reading, shaped } from "./malformed.ts";
import type { TaskActionError, TaskActionStatus } from "./task-action.ts";

export type AttemptState = Pick<ActionRecord, "pluginState" | "transitions" | "details" | "ending" | "released">;

const maxText = 32 << 10;
const maxDetailsBytes = 128 << 10;

export function statusOf(state: AttemptState, lease: LeasedAction): TaskActionStatus {
  const last = state.transitions.at(-1);
  const failed = state.transitions.findLast((one) => "error" in one);
  const details = detailsText(state.details);
  return {
    attempts: lease.attempt,
    ...(state.pluginState && {
      pluginState: base64(Buffer.from(JSON.stringify(state.pluginState))),
      pluginStateVersion: 1,
    }),
    ...(last && {
      phase: last.phase,
      pluginPhase: last.phase,
      pluginPhaseVersion: state.transitions.length,
      phaseHistory: state.transitions.map(historyEntry),
      conditions: conditionsOf(state.transitions),
    }),
    ...(failed && "error" in failed && { errorState: errorState(failed.error) }),
    ...(state.ending && { ending: endingState(state.ending) }),
    ...(details === "" ? {} : { details }),
    ...(state.released && { released: true }),
  };
}

/** What a new object's record is: its lease may say that the attempt ran before. */
export function initialState(lease: LeasedAction): AttemptState {
  const { startedAt } = lease;
  return {
    transitions: startedAt ? [{ phase: "running", at: toDate(startedAt) }] : [],
    details: {},
    released: false,
  };
}

/** Throws a MalformedError that names the field. */
export function stateOf(given: TaskActionStatus | undefined, lease: LeasedAction): AttemptState {
  if (!given?.attempts) return initialState(lease);
  const status = shaped("status", shape, given);
  const error = status.errorState && attemptError(status.errorState);
  return {
    ...(status.pluginState !== undefined && { pluginState: pluginStateOf(status.pluginState) }),
    transitions: (status.phaseHistory ?? []).map((entry) => transition(entry, error)),
    details: status.details === undefined ? {} : detailsOf(status.details),
    ...(status.ending && { ending: endingOf(status.ending) }),
    released: status.released ?? false,
  };
}

const text = z.string().optional();
const errorShape = z.object({
  code: text,
  kind: text,
  message: text,
  recoverable: z.boolean().optional(),
  uri: text,
});
const phases = [
  "waitingForResources",
  "initializing",
  "running",
  "succeeded",
  "failed",
  "timedOut",
  "aborted",
] as const satisfies readonly Transition["phase"][];
const historyShape = z.object({ phase: z.enum(phases), occurredAt: z.iso.datetime({ offset: true }), outputUri: text });
const endingShape = z.object({
  phase: z.enum(["aborted", "dropped", "timedOut", "failed"]),
  reason: z.string(),
  error: errorShape.optional(),
});
const shape = z.object({
  pluginState: text,
  phaseHistory: z.array(historyShape).optional(),
  errorState: errorShape.optional(),
  ending: endingShape.optional(),
  details: text,
  released: z.boolean().optional(),
});
const pluginStateShape = z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()]));

function historyEntry(one: Transition) {
  return {
    phase: one.phase,
    occurredAt: one.at.toISOString(),
    ...("outputUri" in one && one.outputUri !== undefined && { outputUri: one.outputUri }),
  };
}

function transition(entry: z.infer<typeof historyShape>, error: AttemptError | undefined): Transition {
  const { phase, outputUri } = entry;
  const at = new Date(entry.occurredAt);
  if (phase === "succeeded") return { phase, at, ...(outputUri === undefined ? {} : { outputUri }) };
  if (phase === "failed" || phase === "timedOut") return { phase, at, error: error ?? attemptError({}) };
  return { phase, at };
}

function errorState({ code, kind, message, recoverable, uri }: AttemptError): TaskActionError {
  return { code: cut(code, 1024), kind, message: cut(message, maxText), recoverable, ...(uri ? { uri } : {}) };
}

function attemptError({ code, kind, message, recoverable, uri }: z.infer<typeof errorShape>): AttemptError {
  return {
    code: code ?? "Unknown",
    message: message ?? "",
    kind: kind === "user" || kind === "system" ? kind : "unknown",
    recoverable: recoverable ?? false,
    ...(uri === undefined ? {} : { uri }),
  };
}

function endingState(ending: EndingIntent) {
  const { phase, reason } = ending;
  return { phase, reason: cut(reason, maxText), ...("error" in ending && { error: errorState(ending.error) }) };
}

function endingOf({ phase, reason, error }: z.infer<typeof endingShape>): EndingIntent {
  if (phase === "aborted" || phase === "dropped") return { phase, reason };
  return { phase, reason, error: attemptError(error ?? { message: reason }) };
}

function pluginStateOf(encoded: string) {
  const where = "status.pluginState";
  const json = reading(where, () => JSON.parse(Buffer.from(bytesOf(where, encoded)).toString("utf8")));
  return shaped(where, pluginStateShape, json);
}

function detailsText(details: AttemptDetails): string {
  const bytes = detailsBytes(details);
  if (bytes.length <= maxDetailsBytes) return base64(bytes);
  const { clusterEvents: _, ...others } = details;
  const fewer = detailsBytes(others);
  return fewer.length <= maxDetailsBytes ? base64(fewer) : "";
}

/** A report, since that has a place for each of them. */
function detailsBytes({ logsAvailable, logContext, logInfo, clusterEvents, usage }: AttemptDetails): Uint8Array {
  return toBinary(
    AttemptReportSchema,
    create(AttemptReportSchema, {
      logsAvailable: logsAvailable ?? false,
      ...(logContext && { logContext: toBinary(LogContextSchema, logContext) }),
      logInfo: (logInfo ?? []).map((log) => toBinary(TaskLogSchema, log)),
      clusterEvents: (clusterEvents ?? []).map((event) => toBinary(ClusterEventSchema, event)),
      ...(usage && { usage }),
    }),
  );
}

function detailsOf(encoded: string): AttemptDetails {
  return reading("status.details", () => {
    const report = fromBinary(AttemptReportSchema, bytesOf("status.details", encoded));
    const { logsAvailable, logContext, logInfo, clusterEvents, usage } = report;
    return {
      ...(logsAvailable && { logsAvailable }),
      ...(logContext.length > 0 && { logContext: fromBinary(LogContextSchema, logContext) }),
      ...(logInfo.length > 0 && { logInfo: logInfo.map((log) => fromBinary(TaskLogSchema, log)) }),
      ...(clusterEvents.length > 0 && {
        clusterEvents: clusterEvents.map((event) => fromBinary(ClusterEventSchema, event)),
      }),
      ...(usage && { usage }),
    };
  });
}

function cut(words: string, length: number): string {
  return words.length <= length ? words : `${words.slice(0, length - 8)} … (cut)`;
}
