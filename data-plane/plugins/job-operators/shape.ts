/** The task's pod in a role of a job: before the cluster adds its part, so that this part holds for what is changed. Pure. */
import type { K8sPod } from "@flyte-ts/contract/flyteidl2/core/tasks_pb.ts";
import { BadSpecError } from "../pod/bad-spec.ts";
import { literal, type TaskPod } from "../pod/container.ts";
import { onTemplate } from "../pod/merge.ts";
import type { Container, PodSpec } from "../pod/objects.ts";
import { asked } from "../pod/resources.ts";
import type { Role } from "./kind.ts";

/** `accelerator`: the resource that stands for the role's GPU. */
export function shaped(task: TaskPod, role: Role, accelerator: string): TaskPod {
  const { spec, metadata } = asNative(task);
  const name = role.container;
  const primary = changed(spec.containers.find((one) => one.name === task.primary) as Container, role, accelerator);
  const others = spec.containers.filter((one) => one.name !== task.primary);
  if (others.some((one) => one.name === name)) {
    throw new BadSpecError(`the container "${name}" of the task's pod has a name that its operator needs: rename it`);
  }
  const renamed: PodSpec = { ...spec, containers: [primary, ...others] };
  const over = role.overlay;
  return {
    spec: over ? overlaid(renamed, over, name) : renamed,
    primary: name,
    metadata: {
      labels: { ...metadata?.labels, ...over?.metadata?.labels },
      annotations: { ...metadata?.annotations, ...over?.metadata?.annotations },
    },
    native: true,
  };
}

/** The same pod in Kubernetes' own language. */
function asNative(task: TaskPod): TaskPod {
  if (task.native) return task;
  const plain = (container: Container): Container => ({
    ...container,
    ...(container.command ? { command: container.command.map(literal) } : {}),
    ...(container.args ? { args: container.args.map(literal) } : {}),
    ...(container.env
      ? { env: container.env.map((one) => (one.value === undefined ? one : { ...one, value: literal(one.value) })) }
      : {}),
  });
  return { ...task, spec: { ...task.spec, containers: task.spec.containers.map(plain) }, native: true };
}

function changed(container: Container, role: Role, accelerator: string): Container {
  const resources = role.resources;
  const asks = resources !== undefined && resources.requests.length + resources.limits.length > 0;
  return {
    ...container,
    name: role.container,
    ...(role.image ? { image: role.image } : {}),
    ...(asks ? { resources: asked(resources, accelerator) } : {}),
    ...(role.command ? { command: [...role.command] } : {}),
    ...(role.args ? { args: [...role.args] } : {}),
    ...(role.ports ? { ports: [...(container.ports ?? []), ...role.ports] } : {}),
  };
}

/** Operators expect their container first. */
function overlaid(base: PodSpec, over: K8sPod, primary: string): PodSpec {
  const spec = (over.podSpec ?? {}) as unknown as Partial<PodSpec>;
  const containers = Array.isArray(spec.containers) ? spec.containers : [];
  const named = over.primaryContainerName || (containers.length === 1 ? containers[0]?.name : undefined);
  const own = containers.map((one) => (one.name === named ? { ...one, name: primary } : one));
  const result = onTemplate({ spec: base }, { ...spec, containers: own }, primary);
  const first = result.containers.filter((one) => one.name === primary);
  return { ...result, containers: [...first, ...result.containers.filter((one) => one.name !== primary)] };
}
