/** Labels and annotations of a pod. Pure. */
import type { TaskTemplate } from "@flyte-ts/contract/flyteidl2/core/tasks_pb.ts";
import type { LeasedAction } from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";
import type { PodConfig } from "./config.ts";
import { labelKey, labelValue } from "./names.ts";

/** Every pod of ours, so that a watch sees no others. */
export const MANAGED = "flyte.org/managed";
/** The cluster (as the control plane calls it) whose executor made the pod. */
export const CLUSTER = "flyte.org/cluster";
/** The attempt's key, whole: labels are cut. */
export const ATTEMPT_KEY = "flyte.org/attempt-key";
export const PRIMARY = "primary_container_name";

type Texts = Readonly<Record<string, string>>;

export interface LabelParts {
  key: string;
  cluster: string;
  lease: LeasedAction;
  template: TaskTemplate | undefined;
  config: PodConfig;
  /** From low to high: pod template, pod of the task. */
  given: readonly ({ labels?: Texts; annotations?: Texts } | undefined)[];
  primary: string;
}

/** Later wins: cluster, pod template, task, run, and what the system needs, which nobody can replace. */
export function labelsOf({ lease, template, config, given, cluster }: LabelParts): Record<string, string> {
  const ref = lease.ref;
  const task = template?.metadata?.metadata?.labels;
  return {
    ...clean([config.labels, ...given.map((one) => one?.labels), task, lease.labels], labelValue),
    ...clean(
      [
        {
          organization: "flyte",
          project: ref?.project ?? "",
          domain: ref?.domain ?? "",
          run: ref?.run ?? "",
          action: ref?.name ?? "",
          attempt: String(lease.attempt),
          "task-name": template?.id?.name ?? "",
          [MANAGED]: "true",
          [CLUSTER]: cluster,
        },
      ],
      labelValue,
    ),
  };
}

export function annotationsOf({ key, lease, template, config, given, primary }: LabelParts): Record<string, string> {
  const task = template?.metadata?.metadata?.annotations;
  const role = template?.securityContext?.runAs?.iamRole;
  return {
    ...clean([config.annotations, ...given.map((one) => one?.annotations), task, lease.annotations], (text) => text),
    ...(role && config.iamRoleAnnotation ? { [config.iamRoleAnnotation]: role } : {}),
    [PRIMARY]: primary,
    [ATTEMPT_KEY]: key,
  };
}

function clean(layers: readonly (Texts | undefined)[], value: (text: string) => string): Record<string, string> {
  const result: Record<string, string> = {};
  for (const layer of layers) {
    for (const [name, text] of Object.entries(layer ?? {})) {
      const key = labelKey(name);
      if (key !== undefined) result[key] = value(text);
    }
  }
  return result;
}
