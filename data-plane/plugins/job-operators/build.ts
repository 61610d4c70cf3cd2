/**
 * From a leased attempt to an operator's object: pods as the pod plugin builds them, put together by the kind. Pure.
 *
 * Promise: the same attempt gives the same name; the object and all pods made of it carry the attempt's labels and key,
 * and the object goes with what stands for the attempt in the cluster.
 */
import { type DescMessage, fromJson, type MessageShape } from "@bufbuild/protobuf";
import type { TaskTemplate } from "@flyte-ts/contract/flyteidl2/core/tasks_pb.ts";
import { dataConfig } from "../../task-code/index.ts";
import { BadSpecError } from "../pod/bad-spec.ts";
import { type BuildParts, buildPod } from "../pod/build.ts";
import type { Container, SecretObject } from "../pod/objects.ts";
import { acceleratorResource } from "../pod/resources.ts";
import type { JobConfig } from "./config.ts";
import type { JobKind, JobObject, Role, RolePod } from "./kind.ts";
import { JOB, jobName, ROLE, SECRET } from "./names.ts";
import { shaped } from "./shape.ts";

export interface JobObjects {
  job: JobObject;
  secret: SecretObject | undefined;
}

export function buildJob(kind: JobKind, parts: BuildParts, config: JobConfig): JobObjects {
  const { lease, template, namespace } = parts;
  if (!lease.ref || !template) throw new BadSpecError("the lease names no action or no task");
  if (dataConfig(template)) {
    throw new BadSpecError(
      `the task takes its inputs and outputs as files, which the pods of a ${kind.kind} cannot be given: make it a container task`,
    );
  }
  const name = jobName(lease.ref, lease.attempt, kind.maxName);
  const built: { metadata: RolePod["metadata"]; secret: SecretObject | undefined }[] = [];

  function pod(role: Role): RolePod {
    const { pod, secret } = buildPod(partsOf(parts, template as TaskTemplate, role));
    const { labels = {}, annotations = {} } = pod.metadata;
    const common = { ...labels, [JOB]: name };
    built.push({ metadata: { labels: common, annotations }, secret });
    const container = pod.spec.containers.find((one) => one.name === role.container) as Container;
    const env = role.env ?? [];
    const names = new Set(env.map((one) => one.name));
    if (env.length > 0) container.env = [...(container.env ?? []).filter((one) => !names.has(one.name)), ...env];
    return {
      metadata: { labels: { ...common, [ROLE]: role.name }, annotations: { ...annotations } },
      spec: pod.spec,
      primary: container,
    };
  }

  const spec = kind.build({ name, namespace, template, config, pod });
  const [first] = built;
  const metadata = first?.metadata ?? { labels: {}, annotations: {} };
  const secret = first?.secret;
  const { group, version } = kind.resource;
  const job: JobObject = {
    apiVersion: `${group}/${version}`,
    kind: kind.kind,
    metadata: {
      name,
      namespace,
      labels: metadata.labels,
      annotations: { ...metadata.annotations, ...(secret ? { [SECRET]: secret.metadata.name } : {}) },
      ...(parts.owner ? { ownerReferences: [parts.owner] } : {}),
    },
    spec,
  };
  return { job, secret };
}

function partsOf(parts: BuildParts, template: TaskTemplate, role: Role): BuildParts {
  const given = role.extendedResources;
  const extendedResources = given ? { ...template.extendedResources, ...presentOf(given) } : template.extendedResources;
  const changed = { ...template, ...(extendedResources ? { extendedResources } : {}) } as TaskTemplate;
  const accelerator = acceleratorResource(parts.config, extendedResources?.gpuAccelerator?.deviceClass);
  return {
    ...parts,
    template: changed,
    shape: (task) => shaped(task, role, accelerator),
    ...(role.interruptible === undefined ? {} : { interruptible: role.interruptible }),
  };
}

/** What a message says; fields that it leaves open are not there. */
function presentOf<T extends object>(message: T): Partial<T> {
  return Object.fromEntries(Object.entries(message).filter(([, value]) => value !== undefined)) as Partial<T>;
}

/** The `custom` part of a task, which holds a message of the operator's plugin as JSON. */
export function customOf<T extends DescMessage>(schema: T, template: TaskTemplate): MessageShape<T> {
  try {
    return fromJson(schema, template.custom ?? {}, { ignoreUnknownFields: true });
  } catch (error) {
    throw new BadSpecError(
      `the configuration of the task of type "${template.type}" is no ${schema.name}: ${(error as Error).message}`,
    );
  }
}
