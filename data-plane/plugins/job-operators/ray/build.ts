/** From a ray task to a RayJob: pods for head and workers, the task's command line as what is to be run on them. Pure. */
import { create, type MessageShape } from "@bufbuild/protobuf";
import { Resources_ResourceName, ResourcesSchema } from "@flyte-ts/contract/flyteidl2/core/tasks_pb.ts";
import {
  type AutoscalerOptions,
  AutoscalerOptions_UpscalingMode,
  RayJobSchema,
  type WorkerGroupSpec,
} from "@flyte-ts/contract/flyteidl2/plugins/ray_pb.ts";
import { BadSpecError } from "../../pod/bad-spec.ts";
import type { EnvVar, Passed } from "../../pod/objects.ts";
import { asked } from "../../pod/resources.ts";
import { customOf } from "../build.ts";
import type { JobRequest, Role, RolePod } from "../kind.ts";

export const HEAD = "head";
export const SUBMITTER = "submitter";

const ports = [
  { name: "gcs-server", containerPort: 6379 },
  { name: "client", containerPort: 10001 },
  { name: "dashboard", containerPort: 8265 },
];

const env: EnvVar[] = [
  { name: "MY_POD_IP", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } },
  { name: "RAY_COLOR_PREFIX", value: "0" },
  { name: "RAY_DATA_DISABLE_PROGRESS_BARS", value: "1" },
];

/** What it takes to tell a cluster what to do. */
const small = create(ResourcesSchema, {
  requests: [
    { name: Resources_ResourceName.CPU, value: "500m" },
    { name: Resources_ResourceName.MEMORY, value: "200Mi" },
  ],
  limits: [
    { name: Resources_ResourceName.CPU, value: "1" },
    { name: Resources_ResourceName.MEMORY, value: "1Gi" },
  ],
});

export function buildRayJob(request: JobRequest): Passed {
  const { template, config } = request;
  const job = customOf(RayJobSchema, template);
  const cluster = job.rayCluster;
  const groups = cluster?.workerGroupSpec ?? [];
  check(groups);
  const given = cluster?.headGroupSpec;
  const head = request.pod({
    name: HEAD,
    container: "ray-head",
    env,
    ports,
    overlay: given?.k8sPod,
    extendedResources: given?.extendedResources,
  });
  const entrypoint = commandLine(head);
  const runtimeEnv = runtimeEnvOf(job);
  const shutdown = job.shutdownAfterJobFinishes;
  return {
    entrypoint,
    ...(runtimeEnv === "" ? {} : { runtimeEnvYAML: runtimeEnv }),
    submissionMode: config.ray.submissionMode,
    ...(config.ray.submissionMode === "K8sJobMode" ? { submitterPodTemplate: submitter(request, head) } : {}),
    shutdownAfterJobFinishes: true,
    ttlSecondsAfterFinished: shutdown ? job.ttlSecondsAfterFinished : config.ray.ttlSecondsAfterFinished,
    rayClusterSpec: {
      ...(cluster?.enableAutoscaling ? { enableInTreeAutoscaling: true } : {}),
      ...(cluster?.autoscalerOptions ? { autoscalerOptions: autoscaler(cluster.autoscalerOptions) } : {}),
      headGroupSpec: {
        serviceType: "ClusterIP",
        rayStartParams: startParams(config.ray.headStartParams, given?.rayStartParams),
        template: templateOf(head),
      },
      workerGroupSpecs: groups.map((group) => workerGroup(request, group)),
    },
  };
}

function check(groups: readonly WorkerGroupSpec[]): void {
  const names = groups.map(({ groupName }) => groupName);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw new BadSpecError(`two worker groups of the task are called "${twice}": rename one`);
}

function workerGroup(request: JobRequest, group: WorkerGroupSpec): Passed {
  const { groupName, replicas, minReplicas, maxReplicas } = group;
  const worker = request.pod({
    name: "worker",
    container: "ray-worker",
    command: [],
    args: [],
    env,
    ports,
    overlay: group.k8sPod,
    extendedResources: group.extendedResources,
  });
  return {
    groupName,
    replicas,
    minReplicas: Math.min(minReplicas, replicas),
    maxReplicas: Math.max(maxReplicas, replicas),
    rayStartParams: startParams(request.config.ray.workerStartParams, group.rayStartParams),
    template: templateOf(worker),
  };
}

/** The task's own options are all there is but for what a pod cannot do without. */
function startParams(defaults: Readonly<Record<string, string>>, own: Record<string, string> | undefined): Passed {
  return { "node-ip-address": "$MY_POD_IP", ...defaults, ...own };
}

/** Takes the task's command line out of the head, which runs Ray itself. */
function commandLine({ primary }: RolePod): string {
  const words = [...(primary.command ?? []), ...(primary.args ?? [])];
  delete primary.command;
  delete primary.args;
  if (words.length === 0) throw new BadSpecError("the task has no command line, and Ray nothing to run");
  return words.map(quoted).join(" ");
}

/** As a shell takes it for one word. */
function quoted(word: string): string {
  return /^[\w@%+=:,./{}-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`;
}

/** The container that runs `ray job submit`, in the head's image. */
function submitter(request: JobRequest, head: RolePod): Passed {
  const role: Role = {
    name: SUBMITTER,
    container: "ray-job-submitter",
    image: head.primary.image,
    command: [],
    args: [],
    resources: small,
  };
  const { metadata, spec, primary } = request.pod(role);
  const { initContainers: _started, ...rest } = spec;
  // What runs beside the task would keep it from ending.
  return { metadata, spec: { ...rest, containers: [primary] } };
}

function templateOf({ metadata, spec }: RolePod): Passed {
  return { metadata, spec };
}

/** YAML is what JSON is too. */
function runtimeEnvOf({ runtimeEnv, runtimeEnvYaml }: MessageShape<typeof RayJobSchema>): string {
  if (runtimeEnvYaml !== "" || runtimeEnv === "") return runtimeEnvYaml;
  return Buffer.from(runtimeEnv, "base64").toString("utf8");
}

const modes: Readonly<Record<number, string>> = {
  [AutoscalerOptions_UpscalingMode.DEFAULT]: "Default",
  [AutoscalerOptions_UpscalingMode.AGGRESSIVE]: "Aggressive",
  [AutoscalerOptions_UpscalingMode.CONSERVATIVE]: "Conservative",
};

function autoscaler(options: AutoscalerOptions): Passed {
  const mode = modes[options.upscalingMode];
  const { idleTimeoutSeconds, image, env } = options;
  return {
    ...(mode ? { upscalingMode: mode } : {}),
    ...(idleTimeoutSeconds > 0 ? { idleTimeoutSeconds } : {}),
    ...(image === "" ? {} : { image }),
    ...(env.length > 0 ? { env: env.map(({ key, value }) => ({ name: key, value })) } : {}),
    ...(options.resources ? { resources: asked(options.resources, "nvidia.com/gpu") } : {}),
  };
}
