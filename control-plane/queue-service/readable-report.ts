/** What executors report holds messages as bytes. Here they are checked, once, so that whoever shows them later can. */
import { create, type DescMessage, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  ContainerError_Kind,
  ExecutionError_ErrorKind,
  ExecutionErrorSchema,
  LogContextSchema,
  TaskLogSchema,
} from "@flyte-ts/contract/flyteidl2/core/execution_pb.ts";
import { ClusterEventSchema } from "@flyte-ts/contract/flyteidl2/workflow/run_definition_pb.ts";
import type { AttemptReport } from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";

/**
 * The report without what cannot be read: details are worth less than the phase that comes with them. An error that
 * cannot be read is one that says so.
 */
export function readableReport(report: AttemptReport): { report: AttemptReport; unreadable: string[] } {
  const { error, logContext, logInfo, clusterEvents } = report;
  const unreadable: string[] = [];
  const reads = (schema: DescMessage, name: string) => (bytes: Uint8Array) => {
    try {
      fromBinary(schema, bytes);
      return true;
    } catch {
      unreadable.push(name);
      return false;
    }
  };
  const checked = {
    error: reads(ExecutionErrorSchema, "error")(error) ? error : unreadableError(report),
    logContext: reads(LogContextSchema, "log_context")(logContext) ? logContext : new Uint8Array(),
    logInfo: logInfo.filter(reads(TaskLogSchema, "log_info")),
    clusterEvents: clusterEvents.filter(reads(ClusterEventSchema, "cluster_events")),
  };
  return unreadable.length === 0 ? { report, unreadable } : { report: { ...report, ...checked }, unreadable };
}

function unreadableError({ attempt }: AttemptReport): Uint8Array {
  const error = create(ExecutionErrorSchema, {
    code: "UnreadableError",
    message: `attempt ${attempt} failed, and the error that its executor reported cannot be read: executor and control plane may be of versions that do not fit`,
    kind: ExecutionError_ErrorKind.SYSTEM,
    recoverability: ContainerError_Kind.RECOVERABLE,
  });
  return toBinary(ExecutionErrorSchema, error);
}
