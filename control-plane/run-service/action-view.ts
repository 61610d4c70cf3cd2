/** From rows to the wire's Action, ActionDetails and Run. Pure. */
import { create, fromBinary } from "@bufbuild/protobuf";
import { type ActionIdentifier, ActionIdentifierSchema } from "@flyte-ts/contract/flyteidl2/common/identifier_pb.ts";
import { RelationSchema } from "@flyte-ts/contract/flyteidl2/common/run_pb.ts";
import type { CatalogCacheStatus } from "@flyte-ts/contract/flyteidl2/core/catalog_pb.ts";
import { ExecutionError_ErrorKind, ExecutionErrorSchema } from "@flyte-ts/contract/flyteidl2/core/execution_pb.ts";
import { LiteralSchema } from "@flyte-ts/contract/flyteidl2/core/literals_pb.ts";
import { TaskIdentifierSchema, type TaskSpec } from "@flyte-ts/contract/flyteidl2/task/task_definition_pb.ts";
import {
  AbortInfoSchema,
  type Action,
  type ActionAttempt,
  type ActionDetails,
  ActionDetailsSchema,
  type ActionMetadata,
  ActionMetadataSchema,
  ActionSchema,
  type ActionStatus,
  ActionStatusSchema,
  ActionType,
  type ConditionAction,
  ConditionActionMetadataSchema,
  ConditionActionSchema,
  type ErrorInfo,
  ErrorInfo_Kind,
  ErrorInfoSchema,
  type RunSource,
  SignalInfoSchema,
  TaskActionMetadataSchema,
  TraceActionMetadataSchema,
  TraceActionSchema,
} from "@flyte-ts/contract/flyteidl2/workflow/run_definition_pb.ts";
import { ActionPhase, isTerminal, ROOT_ACTION, toTimestamp } from "@flyte-ts/core";
import type { DescribeIdentity } from "../identity-service/index.ts";
import type { ActionRow } from "../state-service/store.ts";
import type { KnownRun } from "./run-cache.ts";

export function actionId(run: Pick<KnownRun, "project" | "domain" | "name">, name: string): ActionIdentifier {
  return create(ActionIdentifierSchema, {
    run: { org: "", project: run.project, domain: run.domain, name: run.name },
    name,
  });
}

export function actionView(run: KnownRun, row: ActionRow, identities: DescribeIdentity): Action {
  return create(ActionSchema, {
    id: actionId(run, row.name),
    metadata: metadataView(run, row, identities),
    status: statusView(row),
  });
}

export function statusView(row: ActionRow): ActionStatus {
  return create(ActionStatusSchema, {
    phase: row.phase as ActionPhase,
    startTime: toTimestamp(row.createdAt),
    attempts: row.attempts,
    cacheStatus: row.cacheStatus as CatalogCacheStatus,
    ...(row.endedAt && {
      endTime: toTimestamp(row.endedAt),
      durationMs: BigInt(Math.max(0, row.endedAt.getTime() - row.createdAt.getTime())),
    }),
  });
}

function metadataView(run: KnownRun, row: ActionRow, identities: DescribeIdentity): ActionMetadata {
  const root = row.name === ROOT_ACTION;
  const dot = row.taskName.lastIndexOf(".");
  const executedBy = identities(run.row.createdBy);
  const metadata = create(ActionMetadataSchema, {
    parent: row.parent ?? "",
    group: row.groupName,
    actionType: row.kind as ActionType,
    environmentName: row.environmentName,
    funtionName: row.kind === ActionType.TASK ? row.taskName.slice(dot + 1) : "",
    ...(executedBy && { executedBy }),
    ...(root && { source: run.row.source as RunSource }),
    ...(root && run.spec.relation && { relation: create(RelationSchema, run.spec.relation) }),
  });
  if (row.kind === ActionType.TRACE) {
    metadata.spec = { case: "trace", value: create(TraceActionMetadataSchema, { name: row.taskName }) };
  } else if (row.kind === ActionType.CONDITION) {
    const { name, type } = conditionOf(row);
    metadata.spec = {
      case: "condition",
      value: create(ConditionActionMetadataSchema, { name, ...(type && { type }) }),
    };
  } else {
    const id = create(TaskIdentifierSchema, {
      project: row.taskProject,
      domain: row.taskDomain,
      name: row.taskName,
      version: row.taskVersion,
    });
    metadata.spec = {
      case: "task",
      value: create(TaskActionMetadataSchema, { id, taskType: row.taskType, shortName: row.shortName }),
    };
  }
  return metadata;
}

export function conditionOf(row: Pick<ActionRow, "detail">): ConditionAction {
  return fromBinary(ConditionActionSchema, row.detail);
}

export function detailsView(
  run: KnownRun,
  row: ActionRow,
  task: TaskSpec | undefined,
  attempts: ActionAttempt[],
  identities: DescribeIdentity,
): ActionDetails {
  const details = create(ActionDetailsSchema, {
    id: actionId(run, row.name),
    metadata: metadataView(run, row, identities),
    status: statusView(row),
    attempts,
  });
  if (task) details.spec = { case: "task", value: task };
  else if (row.kind === ActionType.TRACE) {
    const { spec } = fromBinary(TraceActionSchema, row.detail);
    if (spec) details.spec = { case: "trace", value: spec };
  } else if (row.kind === ActionType.CONDITION) details.spec = { case: "condition", value: conditionOf(row) };

  if (row.phase === ActionPhase.ABORTED) {
    const abortedBy = identities(row.abortedBy);
    const info = create(AbortInfoSchema, { reason: row.abortReason ?? "", ...(abortedBy && { abortedBy }) });
    details.result = { case: "abortInfo", value: info };
  } else if (row.error && isTerminal(row.phase)) {
    details.result = { case: "errorInfo", value: errorInfo(row.error) };
  } else if (row.value) {
    const signalledBy = identities(row.signalledBy);
    const output = fromBinary(LiteralSchema, row.value);
    details.result = {
      case: "signalInfo",
      value: create(SignalInfoSchema, { output, ...(signalledBy && { signalledBy }) }),
    };
  }
  return details;
}

/** core.ExecutionError as stored, in the form that people read. */
export function errorInfo(bytes: Uint8Array): ErrorInfo {
  const { code, message, kind, gpuFault } = fromBinary(ExecutionErrorSchema, bytes);
  return create(ErrorInfoSchema, {
    code,
    message,
    kind: kind === ExecutionError_ErrorKind.USER ? ErrorInfo_Kind.USER : ErrorInfo_Kind.SYSTEM,
    ...(gpuFault && { gpuFault }),
  });
}
