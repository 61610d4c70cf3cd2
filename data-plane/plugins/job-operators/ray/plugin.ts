/** Ray tasks: a Ray cluster that lives as long as the task, and the task as a job on it. */
import type { JobKind } from "../kind.ts";
import { inRole } from "../status.ts";
import { buildRayJob, HEAD, SUBMITTER } from "./build.ts";
import { observeRayJob } from "./phase.ts";

export const rayKind: JobKind = {
  taskTypes: ["ray"],
  resource: { group: "ray.io", version: "v1", plural: "rayjobs" },
  kind: "RayJob",
  operator: "the KubeRay operator",
  // The operator refuses longer ones.
  maxName: 47,
  driven: true,
  build: buildRayJob,
  observe: observeRayJob,
  primary: (pods) => inRole(pods, HEAD)[0],
  // It prints what the task writes; the head's own output is Ray's.
  speaker: (pods) => inRole(pods, SUBMITTER)[0],
};
