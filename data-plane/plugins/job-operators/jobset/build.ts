/** From a clustered task to a JobSet: one indexed job whose pods know each other's names. Pure. */

import type { MessageShape } from "@bufbuild/protobuf";
import {
  ClusteredTaskSpecSchema,
  Interconnect,
  RdzvBackend,
} from "@flyte-ts/contract/flyteidl2/plugins/clustered_pb.ts";
import { BadSpecError } from "../../pod/bad-spec.ts";
import type { EnvVar, Passed } from "../../pod/objects.ts";
import { customOf } from "../build.ts";
import type { JobRequest } from "../kind.ts";

export const WORKER = "worker";
/** The SDK's launcher makes the first pod's name of it: `NAME-workers-0-0.NAME`. */
const JOB_OF_WORKERS = "workers";
/** More would make names of pods too long. */
const MAX_REPLICAS = 100_000;

type Spec = MessageShape<typeof ClusteredTaskSpecSchema>;

export function buildJobSet({ template, pod }: JobRequest): Passed {
  const spec = customOf(ClusteredTaskSpecSchema, template);
  check(spec);
  const restarts = spec.failurePolicy?.maxRestarts ?? 0;
  const evicted = spec.failurePolicy?.restartOnHostMaintenance ?? false;
  const { metadata, spec: podSpec } = pod({ name: WORKER, container: "worker", env: launcherEnv(spec) });
  return {
    network: { enableDNSHostnames: true },
    successPolicy: { operator: "All" },
    ...(restarts > 0 || evicted ? { failurePolicy: failurePolicy(restarts, evicted) } : {}),
    ...(spec.ttlSecondsAfterFinished === undefined ? {} : { ttlSecondsAfterFinished: spec.ttlSecondsAfterFinished }),
    replicatedJobs: [
      {
        name: JOB_OF_WORKERS,
        replicas: 1,
        template: {
          spec: {
            parallelism: spec.replicas,
            completions: spec.replicas,
            completionMode: "Indexed",
            backoffLimit: 0,
            ...(evicted ? { podFailurePolicy: { rules: [tellEviction] } } : {}),
            template: { metadata, spec: podSpec },
          },
        },
      },
    ],
  };
}

function check({ replicas, nprocPerNode, interconnect, failurePolicy }: Spec): void {
  if (replicas < 1 || replicas > MAX_REPLICAS) {
    throw new BadSpecError(`the task asks for ${replicas} replicas: it can have 1 to ${MAX_REPLICAS}`);
  }
  if (nprocPerNode < 1) {
    throw new BadSpecError(`the task asks for ${nprocPerNode} processes in each pod: it needs at least 1`);
  }
  if (interconnect !== Interconnect.TCP) {
    throw new BadSpecError("the task asks for an interconnect other than TCP, which this cluster cannot give it");
  }
  if ((failurePolicy?.maxRestarts ?? 0) < 0) throw new BadSpecError("max_restarts of the task must be 0 or more");
}

/** An eviction ends the job with a reason of its own, which the JobSet restarts for free. */
const tellEviction = {
  action: "FailJob",
  onPodConditions: [{ type: "DisruptionTarget", status: "True" }],
};

function failurePolicy(maxRestarts: number, evicted: boolean): Passed {
  const rule = {
    name: "evicted",
    action: "RestartJobSetAndIgnoreMaxRestarts",
    onJobFailureReasons: ["PodFailurePolicy"],
  };
  return { maxRestarts, ...(evicted ? { rules: [rule] } : {}) };
}

/** What the SDK's launcher reads; the index of the pod comes from Kubernetes. */
function launcherEnv(spec: Spec): EnvVar[] {
  const torch = spec.runtime?.kind.case === "torchrun" ? spec.runtime.kind.value : undefined;
  const field = (name: string, fieldPath: string): EnvVar => ({ name, valueFrom: { fieldRef: { fieldPath } } });
  return [
    { name: "NNODES", value: String(spec.replicas) },
    { name: "NPROC_PER_NODE", value: String(spec.nprocPerNode) },
    { name: "MASTER_PORT", value: "29500" },
    { name: "RDZV_BACKEND", value: torch?.rdzvBackend === RdzvBackend.C10D ? "c10d" : "static" },
    // Only the last try writes an error.
    { name: "JOBSET_MAX_RESTARTS", value: String(spec.failurePolicy?.maxRestarts ?? 0) },
    field("JOBSET_NAME", "metadata.labels['jobset.sigs.k8s.io/jobset-name']"),
    field("JOBSET_RESTART_ATTEMPT", "metadata.annotations['jobset.sigs.k8s.io/restart-attempt']"),
    field("POD_NAMESPACE", "metadata.namespace"),
  ];
}
