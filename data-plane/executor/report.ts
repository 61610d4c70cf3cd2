/** Attempt reports as they go on the wire, and how two of one attempt become one. Pure. */
import { create, toBinary } from "@bufbuild/protobuf";
import { ActionPhase } from "@flyte-ts/contract/flyteidl2/common/phase_pb.ts";
import {
  ContainerError_Kind,
  ExecutionError_ErrorKind,
  ExecutionErrorSchema,
  LogContextSchema,
  TaskLogSchema,
} from "@flyte-ts/contract/flyteidl2/core/execution_pb.ts";
import { ClusterEventSchema } from "@flyte-ts/contract/flyteidl2/workflow/run_definition_pb.ts";
import {
  type AttemptReport,
  AttemptReportSchema,
  type LeasedAction,
  type PhaseChange,
  PhaseChangeSchema,
} from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";
import { toTimestamp } from "@flyte-ts/core";
import type { EndingIntent } from "./action-store.ts";
import type { AttemptError, AttemptPhase, Transition } from "./attempt.ts";
import type { AttemptDetails } from "./plugin.ts";

const phases: Record<AttemptPhase, ActionPhase> = {
  waitingForResources: ActionPhase.WAITING_FOR_RESOURCES,
  initializing: ActionPhase.INITIALIZING,
  running: ActionPhase.RUNNING,
  succeeded: ActionPhase.SUCCEEDED,
  failed: ActionPhase.FAILED,
  timedOut: ActionPhase.TIMED_OUT,
  aborted: ActionPhase.ABORTED,
};

const kinds: Record<AttemptError["kind"], ExecutionError_ErrorKind> = {
  user: ExecutionError_ErrorKind.USER,
  system: ExecutionError_ErrorKind.SYSTEM,
  unknown: ExecutionError_ErrorKind.UNKNOWN,
};

/** What an attempt went through since its last report. */
export interface Progress {
  transitions: readonly Transition[];
  details?: AttemptDetails | undefined;
  released?: boolean | undefined;
  /** Why it was ended before its work was. */
  ending?: EndingIntent | undefined;
}

export function attemptReport(lease: LeasedAction, attemptUri: string, progress: Progress): AttemptReport {
  const report = create(AttemptReportSchema, {
    epoch: lease.epoch,
    attempt: lease.attempt,
    attemptUri,
    released: progress.released ?? false,
  });
  if (lease.ref) report.ref = lease.ref;
  for (const transition of progress.transitions) {
    report.transitions.push(phaseChange(transition));
    if (transition.phase === "succeeded" && transition.outputUri) report.outputUri = transition.outputUri;
    if (transition.phase === "aborted") report.abortReason = progress.ending?.reason ?? "";
    if ("error" in transition) report.error = executionError(transition.error, transition.at);
  }
  const details = progress.details;
  if (details) {
    report.logsAvailable = details.logsAvailable ?? false;
    if (details.logContext) report.logContext = toBinary(LogContextSchema, details.logContext);
    if (details.usage) report.usage = details.usage;
    if (details.logInfo) report.logInfo = details.logInfo.map((log) => toBinary(TaskLogSchema, log));
    if (details.clusterEvents) {
      report.clusterEvents = details.clusterEvents.map((event) => toBinary(ClusterEventSchema, event));
    }
  }
  return report;
}

/** One report that says what `earlier` and then `later` said. Both are of the same attempt. */
export function mergeReports(earlier: AttemptReport, later: AttemptReport): AttemptReport {
  return create(AttemptReportSchema, {
    ...later,
    transitions: [...earlier.transitions, ...later.transitions],
    error: later.error.length > 0 ? later.error : earlier.error,
    outputUri: later.outputUri || earlier.outputUri,
    attemptUri: later.attemptUri || earlier.attemptUri,
    logsAvailable: later.logsAvailable || earlier.logsAvailable,
    logContext: later.logContext.length > 0 ? later.logContext : earlier.logContext,
    logInfo: later.logInfo.length > 0 ? later.logInfo : earlier.logInfo,
    clusterEvents: [...earlier.clusterEvents, ...later.clusterEvents],
    released: later.released || earlier.released,
    abortReason: later.abortReason || earlier.abortReason,
    ...(later.usage || !earlier.usage ? {} : { usage: earlier.usage }),
  });
}

function phaseChange(transition: Transition): PhaseChange {
  return create(PhaseChangeSchema, { phase: phases[transition.phase], at: toTimestamp(transition.at) });
}

function executionError(error: AttemptError, at: Date): Uint8Array {
  return toBinary(
    ExecutionErrorSchema,
    create(ExecutionErrorSchema, {
      code: error.code,
      message: error.message,
      errorUri: error.uri ?? "",
      kind: kinds[error.kind],
      timestamp: toTimestamp(at),
      recoverability: error.recoverable ? ContainerError_Kind.RECOVERABLE : ContainerError_Kind.NON_RECOVERABLE,
    }),
  );
}
