/** Training tasks on the training operator's real schemas. */
import type { Pod } from "../../pod/objects.ts";
import type { JobObject } from "../index.ts";
import { kindSuite } from "../testing/kind-suite.ts";
import { mpiKind, pyTorchKind, tensorFlowKind } from "./plugin.ts";

type Template = Pick<Pod, "metadata" | "spec">;

const at = "2026-01-01T00:00:00Z";
const condition = (type: string) => ({
  conditions: [
    {
      type,
      status: "True",
      reason: `Job${type}`,
      message: `it is ${type}`,
      lastTransitionTime: at,
      lastUpdateTime: at,
    },
  ],
  replicaStatuses: {},
  startTime: at,
});
const says = {
  starting: condition("Created"),
  running: condition("Running"),
  succeeded: condition("Succeeded"),
  failed: condition("Failed"),
  suspended: condition("Suspended"),
};
const failure = { code: "JobFailed", kind: "user" } as const;
const labels = { "training.kubeflow.org/replica-index": "0" };
const pod = (specs: string, role: string) => (job: JobObject) => ({
  name: `${job.metadata.name}-${role.toLowerCase()}-0`,
  template: (job.spec[specs] as Record<string, { template: Template }>)[role]?.template as Template,
  labels,
});

await kindSuite({
  kind: pyTorchKind,
  taskTypeVersion: 1,
  custom: {
    workerReplicas: { replicas: 2 },
    elasticConfig: { rdzvBackend: "c10d", minReplicas: 1, maxReplicas: 2, nprocPerNode: 4, maxRestarts: 3 },
    runPolicy: { cleanPodPolicy: "CLEANPOD_POLICY_ALL", backoffLimit: 2, activeDeadlineSeconds: 100 },
  },
  says,
  failure,
  pod: pod("pytorchReplicaSpecs", "Worker"),
});

await kindSuite({
  kind: tensorFlowKind,
  taskTypeVersion: 1,
  custom: {
    workerReplicas: { common: { replicas: 2, image: "tf:1", restartPolicy: "RESTART_POLICY_ON_FAILURE" } },
    psReplicas: { replicas: 1, resources: { requests: [{ name: "CPU", value: "500m" }] } },
    chiefReplicas: { replicas: 1 },
  },
  says,
  failure,
  pod: pod("tfReplicaSpecs", "Chief"),
});

await kindSuite({
  kind: mpiKind,
  custom: { numWorkers: 2, numLauncherReplicas: 1, slots: 2 },
  says,
  failure,
  pod: pod("mpiReplicaSpecs", "Launcher"),
});
