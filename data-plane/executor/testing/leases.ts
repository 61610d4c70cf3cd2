/** Leases for tests, with the parts a test does not care about filled in. */
import { create, type JsonObject, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { TaskTemplateSchema } from "@flyte-ts/contract/flyteidl2/core/tasks_pb.ts";
import { TaskSpecSchema } from "@flyte-ts/contract/flyteidl2/task/task_definition_pb.ts";
import { type LeasedAction, LeasedActionSchema } from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";
import { attemptKey } from "../attempt.ts";

export interface LeaseParts
  extends Omit<MessageInitShape<typeof LeasedActionSchema>, "ref" | "taskSpec" | "$typeName"> {
  name?: string;
  template?: MessageInitShape<typeof TaskTemplateSchema>;
}

export function leaseOf(parts: LeaseParts = {}): LeasedAction {
  const { name = "a0", template, ...rest } = parts;
  return create(LeasedActionSchema, {
    ref: { project: "p", domain: "development", run: "r1", name, runKey: 7n },
    epoch: 1n,
    attempt: 1,
    taskType: "raw-container",
    runOutputBase: "s3://flyte-data/p/development/r1/",
    taskSpec: toBinary(TaskSpecSchema, create(TaskSpecSchema, { taskTemplate: create(TaskTemplateSchema, template) })),
    ...rest,
  });
}

export function keyOf(lease: LeasedAction): string {
  return attemptKey(lease.ref, lease.attempt);
}

/** A sleep of the inline form. */
export function sleepLease(name: string, durationMs: number, parts: LeaseParts = {}): LeasedAction {
  const custom: JsonObject = { duration_ms: durationMs };
  return leaseOf({ name, taskType: "core-sleep", template: { type: "core-sleep", custom }, ...parts });
}

/** A shell script as a raw container's command line. */
export function shellLease(name: string, script: string, parts: LeaseParts = {}): LeasedAction {
  const { template, ...rest } = parts;
  return leaseOf({
    name,
    template: {
      type: "raw-container",
      target: { case: "container", value: { command: ["/bin/sh", "-c", script] } },
      ...template,
    },
    ...rest,
  });
}
