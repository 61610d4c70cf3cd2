/** What Kubeflow's jobs share: replicas of a role, and the policy of a run. Pure. */
import type { Resources } from "@flyte-ts/contract/flyteidl2/core/tasks_pb.ts";
import { type CommonReplicaSpec, RestartPolicy } from "@flyte-ts/contract/flyteidl2/plugins/common_pb.ts";
import { CleanPodPolicy, type RunPolicy } from "@flyte-ts/contract/flyteidl2/plugins/kubeflow/common_pb.ts";
import { BadSpecError } from "../../pod/bad-spec.ts";
import type { Passed } from "../../pod/objects.ts";
import type { JobRequest } from "../kind.ts";

export interface Replicas {
  count: number;
  image?: string | undefined;
  resources?: Resources | undefined;
  restartPolicy?: number | undefined;
  /** In place of the task's command line; empty: the operator has one. */
  command?: readonly string[];
}

/** SDKs have written the same fields in two places. */
interface Written {
  replicas: number;
  image: string;
  resources?: Resources | undefined;
  restartPolicy: number;
  common?: CommonReplicaSpec | undefined;
}

export function replicasOf(written: Written | undefined): Replicas {
  if (!written) return { count: 0 };
  const { replicas, image, resources, restartPolicy } = written.common ?? written;
  return { count: replicas, image, resources, restartPolicy };
}

export function needsWorkers({ count }: Replicas): void {
  if (count < 1) throw new BadSpecError(`the task asks for ${count} workers: it needs at least 1`);
}

const restarts: Readonly<Record<number, string>> = {
  [RestartPolicy.ON_FAILURE]: "OnFailure",
  [RestartPolicy.ALWAYS]: "Always",
};

/** `container`: the name by which the operator knows it. */
export function replicaSpec(request: JobRequest, role: string, container: string, replicas: Replicas): Passed {
  const { image, resources, command } = replicas;
  const { metadata, spec } = request.pod({
    name: role,
    container,
    image,
    resources,
    ...(command ? { command: [], args: command } : {}),
  });
  return {
    replicas: replicas.count,
    restartPolicy: restarts[replicas.restartPolicy ?? 0] ?? "Never",
    template: { metadata, spec },
  };
}

const cleaning: Readonly<Record<number, string>> = {
  [CleanPodPolicy.CLEANPOD_POLICY_RUNNING]: "Running",
  [CleanPodPolicy.CLEANPOD_POLICY_ALL]: "All",
};

export function runPolicy(policy: RunPolicy | undefined): Passed {
  const { backoffLimit = 0, activeDeadlineSeconds = 0, ttlSecondsAfterFinished = 0 } = policy ?? {};
  return {
    // Pods that are kept can still be asked for their logs; the job goes soon anyhow.
    cleanPodPolicy: cleaning[policy?.cleanPodPolicy ?? 0] ?? "None",
    ...(backoffLimit > 0 ? { backoffLimit } : {}),
    ...(activeDeadlineSeconds > 0 ? { activeDeadlineSeconds } : {}),
    ...(ttlSecondsAfterFinished > 0 ? { ttlSecondsAfterFinished } : {}),
  };
}
