/** The containers of a pod as the task wrote them, before the cluster adds its part. Pure. */
import { Container_Architecture, type TaskTemplate } from "@flyte-ts/contract/flyteidl2/core/tasks_pb.ts";
import { BadSpecError } from "./bad-spec.ts";
import type { PodConfig } from "./config.ts";
import type { Container, Passed, PodSpec } from "./objects.ts";
import { acceleratorResource, asked } from "./resources.ts";

export interface TaskPod {
  spec: PodSpec;
  /** The name of the container whose end is the attempt's end. */
  primary: string;
  metadata: { labels?: Record<string, string>; annotations?: Record<string, string> } | undefined;
  /** Its text is Kubernetes' own, with `$(VARIABLE)`; the text of a container task is plain. */
  native: boolean;
}

/** `name`: the pod's. Throws {@link BadSpecError} when there is nothing to run. */
export function taskPod(template: TaskTemplate | undefined, name: string, config: PodConfig): TaskPod {
  const target = template?.target;
  if (target?.case === "container") {
    const container = target.value;
    if (container.image === "") throw new BadSpecError("the task names no image: a pod needs one");
    const accelerator = acceleratorResource(config, template?.extendedResources?.gpuAccelerator?.deviceClass);
    const architecture = architectures.get(container.architecture);
    const primary: Container = {
      name,
      image: container.image,
      command: [...container.command],
      args: [...container.args],
      env: container.env.map(({ key, value }) => ({ name: key, value })),
      resources: asked(container.resources, accelerator),
      ports: container.ports.map((port) => ({
        containerPort: port.containerPort,
        ...(port.name === "" ? {} : { name: port.name }),
      })),
    };
    const nodeSelector = architecture ? { nodeSelector: { "kubernetes.io/arch": architecture } } : {};
    return { spec: { ...nodeSelector, containers: [primary] }, primary: name, metadata: undefined, native: false };
  }
  if (target?.case === "k8sPod") return nativePod(target.value, template?.config.primary_container_name);
  throw new BadSpecError(`the task of type "${template?.type ?? ""}" names no container to run in a pod`);
}

const architectures: ReadonlyMap<number, string> = new Map([
  [Container_Architecture.AMD64, "amd64"],
  [Container_Architecture.ARM64, "arm64"],
  [Container_Architecture.ARM_V6, "arm"],
  [Container_Architecture.ARM_V7, "arm"],
]);

type NativePod = Extract<TaskTemplate["target"], { case: "k8sPod" }>["value"];

function nativePod(pod: NativePod, named: string | undefined): TaskPod {
  const spec = structuredClone(pod.podSpec ?? {}) as unknown as PodSpec;
  const containers = list(spec.containers);
  const primary = pod.primaryContainerName || named || (containers.length === 1 ? containers[0]?.name : undefined);
  if (containers.length === 0) throw new BadSpecError("the task's pod has no containers: give it one");
  if (primary === undefined) {
    throw new BadSpecError(
      "the task's pod has several containers and does not say which one is the task: set primary_container_name",
    );
  }
  if (!containers.some(({ name }) => name === primary)) {
    const names = containers.map(({ name }) => name).join(", ");
    throw new BadSpecError(`the task's primary container "${primary}" is none of its pod's containers: ${names}`);
  }
  return { spec: { ...spec, containers }, primary, metadata: pod.metadata, native: true };
}

function list(value: unknown): Container[] {
  if (!Array.isArray(value)) return [];
  return value.filter((one): one is Container => typeof (one as Passed | null)?.name === "string");
}

/**
 * Text that Kubernetes hands to the container as it is: it would take `$(NAME)` for a variable, and `$$` for `$`.
 *
 * @example literal("echo $$ $(date) $HOME") // "echo $$$$ $$(date) $HOME"
 */
export function literal(text: string): string {
  return text.replace(/\$+\(|\${2,}/g, (run) => run.replaceAll("$", "$$$$"));
}
