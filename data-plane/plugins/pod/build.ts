/**
 * From a leased attempt and the cluster's configuration to the objects that make it run: a pod and, if anything is
 * secret, a Secret that the pod refers to. Pure; what must be read first (inputs, secrets, templates) is handed in.
 *
 * Promise: the same attempt gives the same names, whoever builds it and when. What can never run is a
 * {@link BadSpecError} that says what to change.
 */
import type { TaskTemplate } from "@flyte-ts/contract/flyteidl2/core/tasks_pb.ts";
import type { Inputs } from "@flyte-ts/contract/flyteidl2/task/common_pb.ts";
import type { LeasedAction } from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";
import type { OwnerReference } from "@flyte-ts/platform/kubernetes";
import type { AttemptPlaces } from "../../executor/index.ts";
import { dataConfig, fillTemplate, identity, templateValues } from "../../task-code/index.ts";
import { BadSpecError } from "./bad-spec.ts";
import type { PodConfig } from "./config.ts";
import { literal, type TaskPod, taskPod } from "./container.ts";
import { annotationsOf, CLUSTER, labelsOf, MANAGED } from "./labels.ts";
import { onTemplate } from "./merge.ts";
import { podName } from "./names.ts";
import type { Container, EnvVar, Passed, Pod, PodSpec, PodTemplateSpec, SecretObject, Volume } from "./objects.ts";
import { needsOf, placed } from "./placement.ts";
import { acceleratorResource, completed, within } from "./resources.ts";
import { type SecretParts, secretParts, secretsOf } from "./secrets.ts";
import { withoutServerDefaults } from "./server-defaults.ts";
import { forCompany, isCopilot, staged } from "./staged.ts";

export interface BuildParts {
  key: string;
  lease: LeasedAction;
  template: TaskTemplate | undefined;
  places: AttemptPlaces;
  config: PodConfig;
  /** The executor's, as the control plane calls it. */
  cluster: string;
  namespace: string;
  /** The object that stands for the attempt in the cluster: what is built goes with it. */
  owner: OwnerReference | undefined;
  /** Endpoint and storage of this server. */
  server: Readonly<Record<string, string>>;
  /** Variables of the server that nobody should see in a pod: keys of storage. */
  serverSecrets: Readonly<Record<string, string>>;
  /** Needed when the command line names `{{.inputs.x}}`. */
  inputs: Inputs | undefined;
  /** In the order of the task's secrets. */
  secretValues: readonly (Uint8Array | undefined)[];
  /** The PodTemplate that {@link podTemplateName} names; undefined when there is none of this name. */
  podTemplate: PodTemplateSpec | undefined;
  /** Wins over the wishes of the run and of the task. */
  interruptible?: boolean | undefined;
  /** What becomes of the task's containers before the cluster adds its part: for objects that have pods inside. */
  shape?: ((task: TaskPod) => TaskPod) | undefined;
}

export interface PodObjects {
  pod: Pod;
  secret: SecretObject | undefined;
}

/** The PodTemplate an attempt is based on. */
export function podTemplateName(template: TaskTemplate | undefined, config: PodConfig): string | undefined {
  return template?.metadata?.podTemplateName || config.podTemplate;
}

/** The lines of the primary container in which placeholders may stand. */
export function commandTexts(template: TaskTemplate | undefined): string[] {
  const target = template?.target;
  if (target?.case === "container") return [...target.value.command, ...target.value.args];
  if (target?.case !== "k8sPod") return [];
  const containers = (target.value.podSpec as unknown as Partial<PodSpec> | undefined)?.containers;
  return Array.isArray(containers) ? containers.flatMap(({ command = [], args = [] }) => [...command, ...args]) : [];
}

export function buildPod(parts: BuildParts): PodObjects {
  const { lease, template, config, namespace } = parts;
  if (!lease.ref) throw new BadSpecError("the lease names no action");
  const name = podName(lease.ref, lease.attempt);
  const given = taskPod(template, name, config);
  const secrets = secretParts(name, secretsOf(template), parts.secretValues, parts.serverSecrets);
  const task = parts.shape ? parts.shape(single(given, parts)) : withData(given, parts, secrets);
  const based = onTemplate(
    forCompany(templateOf(parts), task),
    task.spec,
    task.primary,
    task.spec.initContainers?.[0]?.name,
  );
  const containers = based.containers.map((one) =>
    one.name === task.primary ? primaryContainer(one, parts, task, secrets) : otherContainer(one, parts, task),
  );
  const spec = podSpec({ ...based, containers }, parts, secrets);

  const owned = parts.owner ? { ownerReferences: [parts.owner] } : {};
  const labelParts = { ...parts, given: [parts.podTemplate?.metadata, task.metadata], primary: task.primary };
  const pod: Pod = {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name,
      namespace,
      labels: labelsOf(labelParts),
      annotations: annotationsOf(labelParts),
      ...owned,
    },
    spec,
  };
  if (!secrets.data) return { pod, secret: undefined };
  const labels = { [MANAGED]: "true", [CLUSTER]: pod.metadata.labels?.[CLUSTER] ?? "" };
  const secret: SecretObject = {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name, namespace, labels, ...owned },
    type: "Opaque",
    immutable: true,
    data: secrets.data,
  };
  return { pod, secret };
}

/** Its files come and go with company in its pod. */
function withData(task: TaskPod, parts: BuildParts, secrets: SecretParts): TaskPod {
  const { template, places, config } = parts;
  const data = dataConfig(template);
  if (!data) return task;
  const open = Object.entries(parts.server).map(([name, value]) => ({ name, value: literal(value) }));
  return staged(task, { template, data, places, config, env: [...open, ...secrets.serverEnv] });
}

/** Objects that make several pods of one have no place for company. */
function single(task: TaskPod, { template }: BuildParts): TaskPod {
  if (!dataConfig(template)) return task;
  throw new BadSpecError(
    `the task takes its inputs and outputs as files, which tasks of the type "${template?.type}" cannot: use a task of one container`,
  );
}

function templateOf({ template, config, podTemplate }: BuildParts): PodTemplateSpec {
  if (podTemplate) return withoutServerDefaults(podTemplate);
  const name = podTemplateName(template, config);
  if (name === undefined) return {};
  throw new BadSpecError(
    `there is no PodTemplate "${name}" in this cluster: create it in the task's namespace, or let the task name another one`,
  );
}

function primaryContainer(container: Container, parts: BuildParts, task: TaskPod, secrets: SecretParts): Container {
  const { template, config } = parts;
  const values = templateValues(parts.lease, parts.places, parts.namespace);
  const fill = (text: string): string => {
    try {
      // What is put in may hold anything; what stands in a pod of the task's own is Kubernetes' language.
      return task.native
        ? fillTemplate(text, values, parts.inputs, literal)
        : literal(fillTemplate(text, values, parts.inputs));
    } catch (error) {
      throw new BadSpecError((error as Error).message);
    }
  };
  const env = environmentOf(container.env ?? [], parts, task.native, secrets.env);
  const memory = sharedMemory(template);
  const mounts = [...(container.volumeMounts ?? []), ...secrets.mounts, ...(memory ? [memory.mount] : [])];
  const paths = mounts.map(({ mountPath }) => mountPath);
  const twice = paths.find((path, index) => paths.indexOf(path) !== index);
  if (twice) throw new BadSpecError(`two volumes are mounted at ${twice} in the task's container: move one of them`);
  const { command = [], args = [], ports = [], ...rest } = container;
  return {
    ...common(rest, config),
    ...(command.length > 0 ? { command: command.map(fill) } : {}),
    ...(args.length > 0 ? { args: args.map(fill) } : {}),
    ...(ports.length > 0 ? { ports } : {}),
    env,
    ...envFrom(container, config),
    ...(mounts.length > 0 ? { volumeMounts: mounts } : {}),
    resources: completed(container.resources ?? {}, config),
    ...(debugged(env) && !container.readinessProbe ? { readinessProbe: editorProbe } : {}),
  };
}

/** A sidecar of the task's own pod, or of the template: as it was written, with its placeholders filled. */
function otherContainer(container: Container, parts: BuildParts, task: TaskPod): Container {
  if (isCopilot(container)) return ours(container, parts.config);
  within(container.resources, parts.config);
  if (!task.native) return common(container, parts.config);
  const values = templateValues(parts.lease, parts.places, parts.namespace);
  const fill = (text: string) => {
    try {
      return fillTemplate(text, values, parts.inputs, literal);
    } catch (error) {
      throw new BadSpecError((error as Error).message);
    }
  };
  return {
    ...common(container, parts.config),
    ...(container.command ? { command: container.command.map(fill) } : {}),
    ...(container.args ? { args: container.args.map(fill) } : {}),
  };
}

function common(container: Container, config: PodConfig): Container {
  return {
    ...(config.imagePullPolicy ? { imagePullPolicy: config.imagePullPolicy } : {}),
    // The end of its log is the error message of a container that says nothing.
    terminationMessagePolicy: "FallbackToLogsOnError",
    ...container,
  };
}

/** Our own containers: the object store's keys may come from the cluster's own Secrets. */
function ours(container: Container, config: PodConfig): Container {
  return { ...common(container, config), ...envFrom(container, config) };
}

function envFrom(container: Container, config: PodConfig): Pick<Container, "envFrom"> {
  const all = [
    ...(container.envFrom ?? []),
    ...config.envFromSecrets.map((name) => ({ secretRef: { name } }) as Passed),
  ];
  return all.length > 0 ? { envFrom: all } : {};
}

/** What every process of a task gets unless the task says otherwise. */
const base = { PYTHONUNBUFFERED: "1", DO_NOT_TRACK: "1", FLYTE_DISABLE_SENTRY: "1" };

/** Each name once; what comes later wins, and nobody replaces what names the action. */
function environmentOf(
  own: readonly EnvVar[],
  parts: BuildParts,
  native: boolean,
  secret: readonly EnvVar[],
): EnvVar[] {
  const names = identity(parts.lease, parts.template);
  const winning = { ...parts.lease.envs, ...parts.server, ...parts.config.env, ...names };
  const result = new Map<string, EnvVar>(Object.entries(base).map(([name, value]) => [name, { name, value }]));
  for (const variable of own) {
    // Later than those it may refer to by $(NAME).
    result.delete(variable.name);
    const text = variable.value;
    result.set(variable.name, native || text === undefined ? variable : { ...variable, value: literal(text) });
  }
  for (const [name, value] of Object.entries(winning)) result.set(name, { name, value: literal(value) });
  for (const variable of secret) if (!(variable.name in names)) result.set(variable.name, variable);
  return [...result.values()];
}

const EDITOR = "_F_E_VS";
const editorProbe = { httpGet: { path: "/healthz", port: 6060 }, initialDelaySeconds: 5, periodSeconds: 5 };

/** A person debugs the task in an editor, which is ready some time after the container. */
function debugged(env: readonly EnvVar[]): boolean {
  const value = env.find(({ name }) => name === EDITOR)?.value?.toLowerCase();
  return value !== undefined && value !== "" && value !== "0" && value !== "false";
}

function sharedMemory(
  template: TaskTemplate | undefined,
): { volume: Volume; mount: NonNullable<Container["volumeMounts"]>[number] } | undefined {
  const wanted = template?.extendedResources?.sharedMemory;
  if (!wanted) return undefined;
  const name = wanted.mountName || "flyte-shared-memory";
  const sizeLimit = wanted.sizeLimit;
  return {
    volume: { name, emptyDir: { medium: "Memory", ...(sizeLimit === "" ? {} : { sizeLimit }) } },
    mount: { name, mountPath: wanted.mountPath || "/dev/shm" },
  };
}

function podSpec(spec: PodSpec, parts: BuildParts, secrets: SecretParts): PodSpec {
  const { template, config } = parts;
  const memory = sharedMemory(template);
  const volumes = [...(spec.volumes ?? []), ...secrets.volumes, ...(memory ? [memory.volume] : [])];
  const pullSecrets = [...(spec.imagePullSecrets ?? []), ...config.imagePullSecrets.map((name) => ({ name }))];
  const account =
    parts.lease.serviceAccount ||
    template?.securityContext?.runAs?.k8sServiceAccount ||
    spec.serviceAccountName ||
    config.serviceAccount;
  const accelerator = template?.extendedResources?.gpuAccelerator;
  const needs = needsOf({
    config,
    interruptible: parts.interruptible ?? parts.lease.interruptible ?? wishesInterruptible(template),
    resources: new Set(spec.containers.flatMap(({ resources }) => Object.keys(resources?.limits ?? {}))),
    accelerator,
    acceleratorResource: acceleratorResource(config, accelerator?.deviceClass),
  });
  const { initContainers } = spec;
  return placed(
    {
      ...(config.schedulerName ? { schedulerName: config.schedulerName } : {}),
      ...(config.runtimeClassName ? { runtimeClassName: config.runtimeClassName } : {}),
      enableServiceLinks: false,
      terminationGracePeriodSeconds: config.terminationGraceSeconds,
      ...spec,
      ...(initContainers
        ? { initContainers: initContainers.map((one) => (isCopilot(one) ? ours : common)(one, config)) }
        : {}),
      ...(volumes.length > 0 ? { volumes } : {}),
      ...(pullSecrets.length > 0 ? { imagePullSecrets: unique(pullSecrets) } : {}),
      ...(account ? { serviceAccountName: account } : {}),
      // Retries are the control plane's: a container that Kubernetes starts again would write over results.
      restartPolicy: "Never",
    },
    needs,
  );
}

function wishesInterruptible(template: TaskTemplate | undefined): boolean {
  const wish = template?.metadata?.interruptibleValue;
  return wish?.case === "interruptible" && wish.value;
}

function unique(names: readonly { name: string }[]): { name: string }[] {
  return [...new Set(names.map(({ name }) => name))].map((name) => ({ name }));
}
