/** Runs made over the wire, of tasks that are pods with a few lines of shell in them: no SDK and no Python are needed. */
import { create, type JsonObject } from "@bufbuild/protobuf";
import { ResourceType } from "@flyte-ts/contract/flyteidl2/core/identifier_pb.ts";
import { type TaskSpec, TaskSpecSchema } from "@flyte-ts/contract/flyteidl2/task/task_definition_pb.ts";
import { ROOT_ACTION } from "@flyte-ts/core";
import { domain, project, runId, type Wire } from "./wire.ts";

/** In every node of the test cluster. */
export const busybox = "localhost/busybox:1";

export interface PodTask {
  name?: string;
  retries?: number;
  annotations?: Record<string, string>;
  /** Beside its one container. */
  spec?: JsonObject;
  /** Beside its image and command. */
  container?: JsonObject;
}

/** A task whose pod runs this script. */
export function podTask(script: string, parts: PodTask = {}): TaskSpec {
  const { name = "shell", retries = 0, annotations = {}, spec = {}, container = {} } = parts;
  const main = { name: "main", image: busybox, command: ["/bin/sh", "-c", script], ...container };
  return create(TaskSpecSchema, {
    taskTemplate: {
      id: { resourceType: ResourceType.TASK, org: "", project, domain, name, version: "1" },
      type: "sidecar",
      interface: {},
      metadata: { runtime: { version: "1", flavor: "shell" }, retries: { retries } },
      target: {
        case: "k8sPod",
        value: { metadata: { annotations }, podSpec: { ...spec, containers: [main] }, primaryContainerName: "main" },
      },
    },
    shortName: name,
    environment: { name: "pods" },
  });
}

/** Makes a run of this task and gives its name. */
export async function runOf(wire: Wire, spec: TaskSpec, queue = ""): Promise<string> {
  const { run } = await wire.runs.createRun({
    id: { case: "projectId", value: { organization: "", name: project, domain } },
    task: { case: "taskSpec", value: spec },
    inputWrapper: { case: "inputs", value: {} },
    runSpec: { queue },
  });
  const name = run?.action?.id?.run?.name;
  if (!name) throw new Error("the new run has no name");
  return name;
}

/** What a task does that calls another one. */
export async function childOf(wire: Wire, run: string, name: string, spec: TaskSpec): Promise<void> {
  const base = `s3://flyte-data/${project}/${domain}/${run}`;
  await wire.actions.enqueue({
    action: {
      actionId: { run: { ...runId(run), org: "test" }, name },
      parentActionName: ROOT_ACTION,
      inputUri: `${base}/${name}/inputs.pb`,
      runOutputBase: base,
      spec: {
        case: "task",
        value: { id: { org: "test", project, domain, name: spec.shortName, version: "1" }, spec },
      },
    },
  });
}

/** Folder of this machine, the same path in the pod: for what pods write and wait for. */
export function sharing(folder: string): Pick<PodTask, "spec" | "container"> {
  return {
    spec: { volumes: [{ name: "shared", hostPath: { path: folder } }] },
    container: { volumeMounts: [{ name: "shared", mountPath: folder }] },
  };
}
