/**
 * A task that knows nothing of Flyte gets company: an init container that brings its inputs as files, and a container
 * beside it that takes its outputs once it has ended. Pure.
 *
 * How the second one learns of the end is in docs/adr/0009: the executor, which sees how the task's container ended,
 * writes the exit code into an annotation of the pod; the kubelet shows that as a file.
 */
import type { DataLoadingConfig, TaskTemplate } from "@flyte-ts/contract/flyteidl2/core/tasks_pb.ts";
import { downloadArgs, uploadArgs } from "../../copilot/index.ts";
import type { AttemptPlaces } from "../../executor/index.ts";
import { BadSpecError } from "./bad-spec.ts";
import type { PodConfig } from "./config.ts";
import { literal, type TaskPod } from "./container.ts";
import type { Container, EnvVar, Passed, PodTemplateSpec, Volume } from "./objects.ts";
import { quantities } from "./resources.ts";

/** Containers of these names are ours. */
export const DOWNLOAD = "flyte-copilot-download";
export const UPLOAD = "flyte-copilot-upload";
/** Set when the task's container has ended. */
export const EXIT_CODE = "flyte.org/task-exit-code";

/** Where volumes are in our own containers: the task may want its files where our image has its own. */
const INPUTS = { name: "flyte-inputs", mountPath: "/flyte/inputs" };
const OUTPUTS = { name: "flyte-outputs", mountPath: "/flyte/outputs" };
const TASK = { name: "flyte-task", mountPath: "/flyte/task" };
const EXIT_FILE = "exit-code";

export interface StagedParts {
  template: TaskTemplate | undefined;
  data: DataLoadingConfig;
  places: AttemptPlaces;
  config: PodConfig;
  /** How the object store is reached; what is secret of it by reference. */
  env: EnvVar[];
}

export function isCopilot({ name }: { name: string }): boolean {
  return name === DOWNLOAD || name === UPLOAD;
}

/** The task's pod with what goes around it. Throws {@link BadSpecError} where this cluster has nothing to put there. */
export function staged(task: TaskPod, parts: StagedParts): TaskPod {
  const { template, data, places, config } = parts;
  const { copilotImage: image, copilotPatienceSeconds: patienceSeconds } = config;
  const { attemptUri, inputUri, rawDataPrefix } = places;
  if (image === undefined) {
    throw new BadSpecError(
      "the task takes its inputs and outputs as files, for which this cluster has no image: give its executor one (pods.copilotImage), or send the task to another cluster",
    );
  }
  const { containers, initContainers = [], volumes = [] } = task.spec;
  const taken = [...containers, ...initContainers].find(isCopilot);
  if (taken) throw new BadSpecError(`the container name "${taken.name}" is Flyte's own: give it another one`);

  const added: Volume[] = [];
  const mounts: { name: string; mountPath: string }[] = [];
  const before: Container[] = [];
  const beside: Container[] = [];
  const ours = (name: string, args: string[], volumeMounts: NonNullable<Container["volumeMounts"]>): Container => ({
    name,
    image,
    args: args.map(literal),
    env: parts.env,
    resources: { requests: quantities(config.copilotRequests), limits: quantities(config.copilotLimits) },
    volumeMounts,
  });

  if ((template?.interface?.inputs?.variables.length ?? 0) > 0) {
    const seenAs = absolute(data.inputPath || "/var/inputs");
    added.push({ name: INPUTS.name, emptyDir: {} });
    mounts.push({ ...INPUTS, mountPath: seenAs });
    const job = { inputUri, folder: INPUTS.mountPath, seenAs, config: data, attemptUri, patienceSeconds };
    before.push(ours(DOWNLOAD, downloadArgs(job), [INPUTS]));
  }
  const outputs = template?.interface?.outputs;
  if (outputs && outputs.variables.length > 0) {
    added.push({ name: OUTPUTS.name, emptyDir: {} }, exitVolume());
    mounts.push({ ...OUTPUTS, mountPath: absolute(data.outputPath || "/var/outputs") });
    const exitFile = `${TASK.mountPath}/${EXIT_FILE}`;
    const job = { folder: OUTPUTS.mountPath, outputs, rawDataPrefix, exitFile, attemptUri, patienceSeconds };
    beside.push(ours(UPLOAD, uploadArgs(job), [OUTPUTS, { ...TASK, readOnly: true }]));
  }
  const own = containers.map((one) =>
    one.name === task.primary ? { ...one, volumeMounts: [...(one.volumeMounts ?? []), ...mounts] } : one,
  );
  return {
    ...task,
    spec: {
      ...task.spec,
      containers: [...own, ...beside],
      ...(before.length + initContainers.length > 0 ? { initContainers: [...before, ...initContainers] } : {}),
      ...(added.length + volumes.length > 0 ? { volumes: [...volumes, ...added] } : {}),
    },
  };
}

/** What a template says of our own containers is for pods that have them. */
export function forCompany(template: PodTemplateSpec, task: TaskPod): PodTemplateSpec {
  const { containers, initContainers, ...rest } = template.spec ?? {};
  if (![...(containers ?? []), ...(initContainers ?? [])].some(isCopilot)) return template;
  const there = new Set([...task.spec.containers, ...(task.spec.initContainers ?? [])].map(({ name }) => name));
  const wanted = (all: Container[] = []) => all.filter((one) => !isCopilot(one) || there.has(one.name));
  return { ...template, spec: { ...rest, containers: wanted(containers), initContainers: wanted(initContainers) } };
}

function exitVolume(): Volume {
  const fieldRef: Passed = { fieldPath: `metadata.annotations['${EXIT_CODE}']` };
  return { name: TASK.name, downwardAPI: { items: [{ path: EXIT_FILE, fieldRef }] } };
}

function absolute(path: string): string {
  const clean = path.replace(/\/+$/, "");
  if (/^\/[^:\0]+$/.test(clean) && !clean.split("/").includes("..")) return clean;
  throw new BadSpecError(`the task's folder for inputs or outputs, ${JSON.stringify(path)}, must be an absolute path`);
}
