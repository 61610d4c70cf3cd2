/** What a task asks of the place where it runs, read from its TaskSpec. Pure. */
import { type Resources, Resources_ResourceName } from "@flyte-ts/contract/flyteidl2/core/tasks_pb.ts";
import type { TaskSpec } from "@flyte-ts/contract/flyteidl2/task/task_definition_pb.ts";
import { quantity } from "./quantity.ts";

export interface TaskNeeds {
  /** Device name, `gpu` when the task asks for one without a name, "" for none. */
  accelerator: string;
  /** Cores and bytes; 0 where the task asks for nothing. */
  cpu: number;
  memoryBytes: number;
  ephemeralStorageBytes: number;
  /** `flyte.org/cluster-selector` of its pod's metadata, as written. */
  selector: string;
}

/** The annotation of runs, and of the pod of a task, that chooses clusters by their labels: `region=eu,tier=gpu`. */
export const CLUSTER_SELECTOR = "flyte.org/cluster-selector";

type Amounts = Pick<TaskNeeds, "cpu" | "memoryBytes" | "ephemeralStorageBytes"> & { gpu: boolean };

const nothing: Amounts = { cpu: 0, memoryBytes: 0, ephemeralStorageBytes: 0, gpu: false };

export function taskNeeds(spec: TaskSpec): TaskNeeds {
  const template = spec.taskTemplate;
  const target = template?.target;
  const { gpu, ...amounts } =
    target?.case === "container"
      ? ofContainer(target.value.resources)
      : target?.case === "k8sPod"
        ? ofPod(target.value.podSpec)
        : nothing;
  const annotations = target?.case === "k8sPod" ? target.value.metadata?.annotations : undefined;
  return {
    accelerator: template?.extendedResources?.gpuAccelerator?.device || (gpu ? "gpu" : ""),
    ...amounts,
    selector: annotations?.[CLUSTER_SELECTOR] ?? "",
  };
}

const named: ReadonlyMap<number, string> = new Map([
  [Resources_ResourceName.CPU, "cpu"],
  [Resources_ResourceName.MEMORY, "memory"],
  [Resources_ResourceName.EPHEMERAL_STORAGE, "ephemeral-storage"],
  [Resources_ResourceName.GPU, "gpu"],
]);

function ofContainer(resources: Resources | undefined): Amounts {
  const entries = [...(resources?.limits ?? []), ...(resources?.requests ?? [])];
  return amountsOf(Object.fromEntries(entries.map(({ name, value }) => [named.get(name) ?? "", value])));
}

/** A pod needs the sum of its containers. What the spec holds is checked where pods are made; here it is only read. */
function ofPod(podSpec: unknown): Amounts {
  const containers = field(podSpec, "containers");
  if (!Array.isArray(containers)) return nothing;
  const each = containers.map((container) => {
    const resources = field(container, "resources");
    return amountsOf({ ...strings(field(resources, "limits")), ...strings(field(resources, "requests")) });
  });
  return each.reduce(
    (sum, one) => ({
      cpu: sum.cpu + one.cpu,
      memoryBytes: sum.memoryBytes + one.memoryBytes,
      ephemeralStorageBytes: sum.ephemeralStorageBytes + one.ephemeralStorageBytes,
      gpu: sum.gpu || one.gpu,
    }),
    nothing,
  );
}

function amountsOf(asked: Readonly<Record<string, string>>): Amounts {
  const amount = (name: string) => Math.max(0, quantity(asked[name] ?? "") ?? 0);
  return {
    cpu: amount("cpu"),
    memoryBytes: amount("memory"),
    ephemeralStorageBytes: amount("ephemeral-storage"),
    gpu: Object.keys(asked).some((name) => /(^|\/)gpu$/.test(name) && amount(name) > 0),
  };
}

function field(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>)[name] : undefined;
}

function strings(value: unknown): Record<string, string> {
  if (typeof value !== "object" || value === null) return {};
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, String(one)]));
}
