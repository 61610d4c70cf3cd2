/** Clustered tasks on the JobSet controller's real schema. */
import type { Passed, Pod } from "../../pod/objects.ts";
import type { JobObject } from "../index.ts";
import { kindSuite } from "../testing/kind-suite.ts";
import { jobSetKind } from "./plugin.ts";

const at = "2026-01-01T00:00:00Z";
const condition = (type: string, more: object = {}) => ({
  conditions: [{ type, status: "True", reason: type, message: `it is ${type}`, lastTransitionTime: at, ...more }],
});
const jobs = (counts: object) => ({
  restarts: 0,
  replicatedJobsStatus: [{ name: "workers", ready: 0, succeeded: 0, failed: 0, active: 0, suspended: 0, ...counts }],
});

await kindSuite({
  kind: jobSetKind,
  taskTypeVersion: 1,
  custom: {
    replicas: 2,
    nprocPerNode: 4,
    runtime: { torchrun: { rdzvBackend: "C10D", maxRestarts: 1 } },
    failurePolicy: { maxRestarts: 1, restartOnHostMaintenance: true },
    ttlSecondsAfterFinished: 600,
  },
  says: {
    starting: jobs({ active: 1 }),
    running: jobs({ active: 1, ready: 1 }),
    succeeded: condition("Completed"),
    failed: condition("Failed", { reason: "ReachedMaxRestarts" }),
    suspended: condition("Suspended"),
  },
  failure: { code: "ReachedMaxRestarts", kind: "user" },
  pod: (job) => ({
    name: `${job.metadata.name}-workers-0-0-abcde`,
    template: workers(job),
    labels: { "batch.kubernetes.io/job-completion-index": "0" },
  }),
});

function workers({ spec }: JobObject): Pick<Pod, "metadata" | "spec"> {
  const [first] = spec.replicatedJobs as { template: { spec: { template: Passed } } }[];
  const template = first?.template.spec.template as unknown as Pick<Pod, "metadata" | "spec">;
  // What the controller adds.
  const labels = { ...template.metadata.labels, "jobset.sigs.k8s.io/jobset-name": "x" };
  return { ...template, metadata: { ...template.metadata, labels } };
}
