/** Clustered tasks: equal pods that start together and are restarted together, as a JobSet. */
import type { Pod } from "../../pod/objects.ts";
import type { JobKind } from "../kind.ts";
import { inRole } from "../status.ts";
import { buildJobSet, WORKER } from "./build.ts";
import { mayRestart, observeJobSet } from "./phase.ts";

/** Kubernetes' own name for the place of a pod in an indexed job; before 1.28 an annotation alone. */
const INDEX = "batch.kubernetes.io/job-completion-index";

export const jobSetKind: JobKind = {
  taskTypes: ["clustered-task"],
  resource: { group: "jobset.x-k8s.io", version: "v1alpha2", plural: "jobsets" },
  kind: "JobSet",
  operator: "the JobSet controller",
  // Pods are called `NAME-workers-0-99999-abcde`.
  maxName: 41,
  driven: false,
  build: buildJobSet,
  observe: observeJobSet,
  primary: (pods: readonly Pod[]) => inRole(pods, WORKER).find(isFirst),
  lastTry: (job) => !mayRestart(job),
};

function isFirst({ metadata: { labels, annotations } }: Pod): boolean {
  return (labels?.[INDEX] ?? annotations?.[INDEX]) === "0";
}
