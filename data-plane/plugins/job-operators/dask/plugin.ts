/** Dask tasks: a runner that is the task, beside a scheduler and workers that it finds by a variable. */
import type { Pod } from "../../pod/objects.ts";
import type { JobKind } from "../kind.ts";
import { buildDaskJob } from "./build.ts";
import { observeDaskJob } from "./phase.ts";

/** The operator's own label: all pods of a DaskJob have the job's labels. */
const COMPONENT = "dask.org/component";

export const daskKind: JobKind = {
  taskTypes: ["dask"],
  resource: { group: "kubernetes.dask.org", version: "v1", plural: "daskjobs" },
  kind: "DaskJob",
  operator: "the Dask operator",
  // Workers are called `NAME-default-worker-0123456789`, and a random end behind it.
  maxName: 32,
  driven: true,
  build: buildDaskJob,
  observe: observeDaskJob,
  primary: (pods: readonly Pod[]) => pods.find(({ metadata }) => metadata.labels?.[COMPONENT] === "job-runner"),
};
