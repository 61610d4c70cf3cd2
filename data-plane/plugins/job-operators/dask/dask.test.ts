/** Dask tasks on the Dask operator's real schema. */
import type { Pod } from "../../pod/objects.ts";
import type { JobObject } from "../index.ts";
import { kindSuite } from "../testing/kind-suite.ts";
import { daskKind } from "./plugin.ts";

await kindSuite({
  kind: daskKind,
  custom: {
    scheduler: { image: "dask:1", resources: { requests: [{ name: "CPU", value: "500m" }] } },
    workers: {
      numberOfWorkers: 3,
      resources: {
        limits: [
          { name: "MEMORY", value: "2Gi" },
          { name: "CPU", value: "1500m" },
        ],
      },
    },
  },
  says: {
    starting: { jobStatus: "ClusterCreated", clusterName: "c" },
    running: { jobStatus: "Running", startTime: "2026-01-01T00:00:00Z" },
    succeeded: { jobStatus: "Successful", endTime: "2026-01-01T00:00:09Z" },
    failed: { jobStatus: "Failed", endTime: "2026-01-01T00:00:09Z" },
  },
  failure: { code: "JobFailed", kind: "user" },
  pod: (job) => ({
    name: `${job.metadata.name}-runner`,
    template: runner(job),
    labels: { "dask.org/component": "job-runner" },
  }),
});

/** The operator gives its pods the job's labels and annotations. */
function runner({ metadata, spec }: JobObject): Pick<Pod, "metadata" | "spec"> {
  return { metadata, spec: (spec.job as { spec: Pod["spec"] }).spec };
}
