/** From the two forms in which a client enqueues an action (ActionsService, QueueService) to one item. */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { ActionIdentifier } from "@flyte-ts/contract/flyteidl2/common/identifier_pb.ts";
import {
  type ContainerError,
  ErrorDocumentSchema,
  ExecutionErrorSchema,
} from "@flyte-ts/contract/flyteidl2/core/execution_pb.ts";
import { TaskIdentifierSchema } from "@flyte-ts/contract/flyteidl2/task/task_definition_pb.ts";
import type {
  ConditionAction,
  TaskAction,
  TraceAction,
} from "@flyte-ts/contract/flyteidl2/workflow/run_definition_pb.ts";
import { ActionPhase, invalidArgument } from "@flyte-ts/core";
import type { ObjectStore } from "@flyte-ts/platform/object-store";
import { ObjectNotFoundError } from "@flyte-ts/platform/object-store";
import type { EnqueueItem } from "./enqueue.ts";
import type { WireAction } from "./new-action.ts";

export interface EnqueuedOnWire {
  actionId?: ActionIdentifier | undefined;
  parentActionName?: string | undefined;
  inputUri: string;
  runOutputBase: string;
  group: string;
  spec:
    | { case: "task"; value: TaskAction }
    | { case: "trace"; value: TraceAction }
    | { case: "condition"; value: ConditionAction }
    | { case?: undefined };
}

export async function enqueueItem(action: EnqueuedOnWire, objects: ObjectStore): Promise<EnqueueItem> {
  const run = action.actionId?.run;
  const name = action.actionId?.name;
  if (!run || !name) throw invalidArgument("the action has no id; give run and name");
  if (!action.parentActionName)
    throw invalidArgument(`action ${name} names no parent; a root action comes with CreateRun`);
  const common: WireAction = {
    name,
    parent: action.parentActionName,
    inputUri: action.inputUri,
    runOutputBase: action.runOutputBase,
    group: action.group,
  };
  const of = (more: Partial<WireAction>): EnqueueItem => ({
    run: { kind: "existing", name: { project: run.project, domain: run.domain, name: run.name } },
    action: { ...common, ...more },
  });
  switch (action.spec.case) {
    case "task": {
      const { id, spec, cacheKey, queue } = action.spec.value;
      if (!spec?.taskTemplate) throw invalidArgument(`task action ${name} has no task spec`);
      return of({ task: { id: id ?? create(TaskIdentifierSchema), spec, cacheKey: cacheKey ?? "", queue } });
    }
    case "trace": {
      const trace = action.spec.value;
      const failed = trace.phase === ActionPhase.FAILED;
      return of({ trace: { action: trace, error: failed ? await traceError(action, name, objects) : null } });
    }
    case "condition":
      return of({ condition: action.spec.value });
    default:
      throw invalidArgument(`action ${name} is neither task, trace nor condition`);
  }
}

/** A trace has no error on the wire; its process left it in error.pb beside the inputs. */
async function traceError(action: EnqueuedOnWire, name: string, objects: ObjectStore): Promise<Uint8Array | null> {
  const uri = `${action.runOutputBase.replace(/\/$/, "")}/${name}/error.pb`;
  try {
    const bytes = await objects.get(uri, { maxBytes: 4 << 20 });
    const error = containerError(bytes);
    if (!error) return null;
    const { code, message, kind, origin } = error;
    return toBinary(
      ExecutionErrorSchema,
      create(ExecutionErrorSchema, { code, message, kind: origin, recoverability: kind, errorUri: uri }),
    );
  } catch (error) {
    // A trace may fail without having been able to write: it is then run again by the next attempt.
    if (error instanceof ObjectNotFoundError) return null;
    throw error;
  }
}

/** What cannot be read says nothing: the trace is recorded all the same, as its client would repeat it for ever. */
function containerError(bytes: Uint8Array): ContainerError | undefined {
  try {
    return fromBinary(ErrorDocumentSchema, bytes).error;
  } catch {
    return undefined;
  }
}
