/** Ray tasks on KubeRay's real schema. */
import type { Pod } from "../../pod/objects.ts";
import type { JobObject } from "../index.ts";
import { kindSuite } from "../testing/kind-suite.ts";
import { rayKind } from "./plugin.ts";

const status = (jobDeploymentStatus: string, more: object = {}) => ({
  jobDeploymentStatus,
  rayClusterName: "c",
  startTime: "2026-01-01T00:00:00Z",
  ...more,
});

await kindSuite({
  kind: rayKind,
  custom: {
    rayCluster: {
      headGroupSpec: {
        rayStartParams: { "num-cpus": "0" },
        k8sPod: {
          metadata: { labels: { team: "x" } },
          podSpec: {
            containers: [
              { name: "ray-head", resources: { requests: { cpu: "2" }, limits: { cpu: "2", memory: "2Gi" } } },
            ],
          },
          primaryContainerName: "ray-head",
        },
      },
      workerGroupSpec: [{ groupName: "gpu", replicas: 2, minReplicas: 0, maxReplicas: 5 }],
      enableAutoscaling: true,
      autoscalerOptions: { upscalingMode: "CONSERVATIVE", idleTimeoutSeconds: 30, env: [{ key: "A", value: "b" }] },
    },
    runtimeEnvYaml: "pip:\n- numpy\n",
    shutdownAfterJobFinishes: true,
    ttlSecondsAfterFinished: 60,
  },
  says: {
    starting: status("Initializing"),
    running: status("Running", { jobStatus: "RUNNING" }),
    succeeded: status("Complete", { jobStatus: "SUCCEEDED", endTime: "2026-01-01T00:00:09Z" }),
    failed: status("Failed", { jobStatus: "FAILED", reason: "AppFailed", message: "the driver exited with 1" }),
    suspended: status("Suspended"),
  },
  failure: { code: "AppFailed", kind: "user" },
  // The log of the submitter is the task's.
  pod: (job) => ({ name: `${job.metadata.name}-abcde`, template: submitter(job) }),
});

function submitter({ spec }: JobObject): Pick<Pod, "metadata" | "spec"> {
  return spec.submitterPodTemplate as unknown as Pick<Pod, "metadata" | "spec">;
}
