/** Runs of `core-sleep` tasks, which need no pod and no Python: for tests of where actions go. */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { ResourceType } from "@flyte-ts/contract/flyteidl2/core/identifier_pb.ts";
import type { TaskTemplateSchema } from "@flyte-ts/contract/flyteidl2/core/tasks_pb.ts";
import type { RunSpecSchema } from "@flyte-ts/contract/flyteidl2/task/run_pb.ts";
import { type TaskSpec, TaskSpecSchema } from "@flyte-ts/contract/flyteidl2/task/task_definition_pb.ts";
import { domain, project, type Wire } from "./wire.ts";

export type TemplateParts = Omit<MessageInitShape<typeof TaskTemplateSchema>, "$typeName">;

export function nap(durationMs = 0, parts: TemplateParts = {}): TaskSpec {
  return create(TaskSpecSchema, {
    taskTemplate: {
      id: { resourceType: ResourceType.TASK, org: "", project, domain, name: "nap", version: "1" },
      type: "core-sleep",
      interface: {},
      metadata: { runtime: { version: "1", flavor: "test" } },
      custom: { duration_ms: durationMs },
      ...parts,
    },
    shortName: "nap",
    environment: { name: "naps" },
  });
}

/** Makes a run that is placed by `runSpec`, and gives its name. */
export async function placedRun(
  wire: Wire,
  spec: TaskSpec,
  runSpec: Omit<MessageInitShape<typeof RunSpecSchema>, "$typeName"> = {},
): Promise<string> {
  const { run } = await wire.runs.createRun({
    id: { case: "projectId", value: { organization: "", name: project, domain } },
    task: { case: "taskSpec", value: spec },
    inputWrapper: { case: "inputs", value: {} },
    runSpec,
  });
  const name = run?.action?.id?.run?.name;
  if (!name) throw new Error("the new run has no name");
  return name;
}
