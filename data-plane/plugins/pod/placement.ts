/** On which nodes a pod may run: accelerators, interruptible ones, what the cluster says. Pure. */
import { AcceleratorModel, type GPUAccelerator } from "@flyte-ts/contract/flyteidl2/core/tasks_pb.ts";
import type { PodConfig } from "./config.ts";
import type { Affinity, NodeRequirement, PodSpec, Toleration } from "./objects.ts";

export interface Needs {
  tolerations: Toleration[];
  nodeSelector: Record<string, string>;
  requirements: NodeRequirement[];
}

export interface NeedParts {
  config: PodConfig;
  interruptible: boolean;
  /** Resources that the containers ask for. */
  resources: ReadonlySet<string>;
  accelerator: GPUAccelerator | undefined;
  /** The resource that stands for the accelerator. */
  acceleratorResource: string;
}

export function needsOf(parts: NeedParts): Needs {
  const { config, resources } = parts;
  const lifetime = parts.interruptible ? config.interruptible : config.nonInterruptible;
  const needs: Needs = {
    tolerations: [...config.tolerations, ...lifetime.tolerations] as Toleration[],
    nodeSelector: { ...config.nodeSelector, ...lifetime.nodeSelector },
    requirements: [...lifetime.nodeRequirements] as NodeRequirement[],
  };
  for (const resource of resources) {
    needs.tolerations.push(...((config.accelerators.tolerations[resource] ?? []) as Toleration[]));
  }
  if (parts.accelerator && resources.has(parts.acceleratorResource)) addAccelerator(needs, parts.accelerator, config);
  return needs;
}

function addAccelerator(needs: Needs, accelerator: GPUAccelerator, { accelerators }: PodConfig): void {
  const select = (key: string, value: string) => {
    needs.requirements.push({ key, operator: "In", values: [value] });
    needs.tolerations.push({ key, operator: "Equal", value, effect: "NoSchedule" });
  };
  const device = accelerator.device || modelName(accelerator);
  if (device !== "") select(accelerators.deviceLabel, accelerators.devices[device] ?? device);
  const partition = accelerator.partitionSizeValue;
  if (partition.case === "partitionSize" && partition.value !== "")
    select(accelerators.partitionLabel, partition.value);
  if (partition.case === "unpartitioned" && partition.value) {
    needs.requirements.push(
      (accelerators.unpartitionedRequirement as NodeRequirement | undefined) ?? {
        key: accelerators.partitionLabel,
        operator: "DoesNotExist",
      },
    );
    if (accelerators.unpartitionedToleration)
      needs.tolerations.push(accelerators.unpartitionedToleration as Toleration);
  }
}

function modelName({ acceleratorModel }: GPUAccelerator): string {
  if (acceleratorModel === AcceleratorModel.ACCELERATOR_MODEL_UNSPECIFIED) return "";
  return Object.entries(AcceleratorModel).find(([, value]) => value === acceleratorModel)?.[0] ?? "";
}

/** The pod's own wishes and these. Terms of an affinity are alternatives, so each one gets the requirements. */
export function placed(spec: PodSpec, needs: Needs): PodSpec {
  const nodeSelector = { ...needs.nodeSelector, ...spec.nodeSelector };
  const tolerations = unique([...(spec.tolerations ?? []), ...needs.tolerations]);
  return {
    ...spec,
    ...(Object.keys(nodeSelector).length > 0 ? { nodeSelector } : {}),
    ...(tolerations.length > 0 ? { tolerations } : {}),
    ...(needs.requirements.length > 0 ? { affinity: withRequirements(spec.affinity, needs.requirements) } : {}),
  };
}

function withRequirements(affinity: Affinity | undefined, requirements: NodeRequirement[]): Affinity {
  const node = affinity?.nodeAffinity;
  const terms = node?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? [];
  const alternatives = terms.length > 0 ? terms : [{}];
  return {
    ...affinity,
    nodeAffinity: {
      ...node,
      requiredDuringSchedulingIgnoredDuringExecution: {
        nodeSelectorTerms: alternatives.map((term) => ({
          ...term,
          matchExpressions: [...(term.matchExpressions ?? []), ...requirements],
        })),
      },
    },
  };
}

function unique(tolerations: readonly Toleration[]): Toleration[] {
  const seen = new Map(tolerations.map((one) => [JSON.stringify(Object.entries(one).sort()), one]));
  return [...seen.values()];
}
