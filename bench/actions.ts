/** The actions that benchmarks make: sleeps, which need no process, and containers. */
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

export interface ContainerOptions {
  command: string[];
  /** Of its pod. */
  annotations?: Record<string, string>;
}

/** A container without inputs and outputs, in the image that every test cluster has. */
export function containerSpec({ command, annotations = {} }: ContainerOptions): TaskSpec {
  return create(TaskSpecSchema, {
    taskTemplate: {
      id: { resourceType: ResourceType.TASK, org: "bench", ...place, name: "bench.container", version: "1" },
      type: "container",
      metadata: {
        runtime: { version: "1", flavor: "typescript" },
        retries: { retries: 0 },
        metadata: { annotations },
      },
      interface: {},
      target: { case: "container", value: { image: "localhost/busybox:1", command } },
    },
    shortName: "container",
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
  const task = spec.taskTemplate?.id?.name ?? "";
  return create(EnqueueRequestSchema, {
    action: {
      actionId: { run, name },
      parentActionName: "a0",
      inputUri: `${base}${name}/inputs.pb`,
      runOutputBase: base,
      spec: {
        case: "task",
        value: { id: { org: "bench", ...place, name: task, version: "1" }, spec },
      },
    },
  });
}
