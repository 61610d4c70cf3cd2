/** A lease as a TaskAction object, with its name and labels. Pure. */
import type { LeasedAction } from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";
import type { ObjectMeta } from "@flyte-ts/platform/kubernetes";
import { labelKey, labelValue, podName } from "../plugins/pod/index.ts";
import { type TaskAction, taskActionApiVersion, taskActionFinalizer, taskActionKind } from "./task-action.ts";

/** The cluster, as the control plane calls it, whose executor the object belongs to. */
const clusterLabel = "flyte.org/cluster";
/** Kubernetes takes 256 KiB in all; what is left out here is in the spec. */
const maxAnnotationBytes = 128 << 10;

/** Of the objects that an executor of this cluster made. */
export function ownSelector(cluster: string): string {
  return `${clusterLabel}=${labelValue(cluster)}`;
}

/** One object an attempt, by the name of the attempt's pod: a new attempt never meets what is left of an older one. */
export function taskActionName(lease: LeasedAction): string {
  if (!lease.ref) throw new Error("a lease names no action: its `ref` is missing");
  return podName(lease.ref, lease.attempt);
}

export function taskActionMeta(lease: LeasedAction, cluster: string, namespace: string): ObjectMeta {
  const { ref } = lease;
  const annotations = cleaned(lease.annotations, (text) => text);
  return {
    name: taskActionName(lease),
    namespace,
    finalizers: [taskActionFinalizer],
    labels: {
      ...cleaned(lease.labels, labelValue),
      "flyte.org/project": labelValue(ref?.project ?? ""),
      "flyte.org/domain": labelValue(ref?.domain ?? ""),
      "flyte.org/run": labelValue(ref?.run ?? ""),
      "flyte.org/action": labelValue(ref?.name ?? ""),
      "flyte.org/action-type": "task",
      "flyte.org/is-root": String(lease.parent === ""),
      [clusterLabel]: labelValue(cluster),
    },
    ...(Buffer.byteLength(JSON.stringify(annotations)) <= maxAnnotationBytes && { annotations }),
  };
}

/** For objects that have ended and must stay for a while. */
export function endLabels(endedAt: Date): Record<string, string> {
  const [day, clock] = endedAt.toISOString().split("T");
  return {
    "flyte.org/termination-status": "terminated",
    "flyte.org/completed-time": `${day}.${clock?.slice(0, 5).replace(":", "-")}`,
    "flyte.org/terminal-status-recorded": "true",
  };
}

export function taskActionObject(
  metadata: ObjectMeta,
  parts: Partial<Pick<TaskAction, "spec" | "status">>,
): TaskAction {
  // A status is written without its spec, which the API server leaves as it is.
  return { apiVersion: taskActionApiVersion, kind: taskActionKind, metadata, ...parts } as TaskAction;
}

function cleaned(texts: Readonly<Record<string, string>>, value: (text: string) => string): Record<string, string> {
  const entries = Object.entries(texts).flatMap(([name, text]) => {
    const key = labelKey(name);
    return key === undefined ? [] : [[key, value(text)]];
  });
  return Object.fromEntries(entries);
}
