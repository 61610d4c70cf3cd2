/** The actions that the engine's benchmark makes: core-sleep needs no process, so only the engine is measured. */
import { create } from "@bufbuild/protobuf";
import { type EnqueueRequest, EnqueueRequestSchema } from "@flyte-ts/contract/flyteidl2/actions/actions_service_pb.ts";
import type { RunIdentifier } from "@flyte-ts/contract/flyteidl2/common/identifier_pb.ts";
import { ResourceType } from "@flyte-ts/contract/flyteidl2/core/identifier_pb.ts";
import { type TaskSpec, TaskSpecSchema } from "@flyte-ts/contract/flyteidl2/task/task_definition_pb.ts";
import { type CreateRunRequest, CreateRunRequestSchema } from "@flyte-ts/contract/flyteidl2/workflow/run_service_pb.ts";

export const place = { project: "flytesnacks", domain: "development" };

export function sleepSpec(durationMs: number): TaskSpec {
  return create(TaskSpecSchema, {
    taskTemplate: {
      id: { resourceType: ResourceType.TASK, org: "bench", ...place, name: "bench.sleep", version: "1" },
      type: "core-sleep",
      metadata: { runtime: { version: "1", flavor: "typescript" }, retries: { retries: 0 } },
      interface: {},
      custom: { duration_ms: durationMs },
    },
    shortName: "sleep",
    environment: { name: "bench" },
  });
}

export function newRun(durationMs: number): CreateRunRequest {
  return create(CreateRunRequestSchema, {
    id: { case: "projectId", value: { organization: "bench", domain: place.domain, name: place.project } },
    task: { case: "taskSpec", value: sleepSpec(durationMs) },
    inputWrapper: { case: "offloadedInputData", value: { uri: "s3://flyte-data/none", inputsHash: "-" } },
    runSpec: {},
  });
}

export function child(run: RunIdentifier, name: string, spec: TaskSpec): EnqueueRequest {
  const base = `s3://flyte-data/${run.project}/${run.domain}/${run.name}/`;
  return create(EnqueueRequestSchema, {
    action: {
      actionId: { run, name },
      parentActionName: "a0",
      inputUri: `${base}${name}/inputs.pb`,
      runOutputBase: base,
      spec: {
        case: "task",
        value: { id: { org: "bench", ...place, name: "bench.sleep", version: "1" }, spec },
      },
    },
  });
}
