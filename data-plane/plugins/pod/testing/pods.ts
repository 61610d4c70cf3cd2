/** Pods as Kubernetes tells them, for tests: a running one, changed at will. */
import type { ContainerState, Pod, PodStatus } from "../objects.ts";

export const T0 = Date.parse("2026-01-01T00:00:00Z");
/** So many seconds after T0, in Kubernetes' words. */
export const at = (seconds: number) => new Date(T0 + seconds * 1000).toISOString().replace(".000Z", "Z");

export function podWith(status: PodStatus, changes: { metadata?: object; spec?: object } = {}): Pod {
  return {
    metadata: { name: "r1-a0-7-0", namespace: "ns", uid: "u1", creationTimestamp: at(0), ...changes.metadata },
    spec: { nodeName: "n1", containers: [{ name: "main" }], ...changes.spec },
    status,
  };
}

export const scheduled = { type: "PodScheduled", status: "True" } as const;

/** Pending on a node, its container waiting. */
export function waitingPod(reason?: string, message?: string): Pod {
  const waiting = { ...(reason ? { reason } : {}), ...(message ? { message } : {}) };
  const containerStatuses = [{ name: "main", image: "img", state: { waiting } }];
  return podWith({ phase: "Pending", conditions: [scheduled], containerStatuses });
}

export function endedPod(
  terminated: Partial<NonNullable<ContainerState["terminated"]>>,
  status: PodStatus = {},
  changes: { metadata?: object; spec?: object } = {},
): Pod {
  const ended = { exitCode: 0, startedAt: at(5), finishedAt: at(10), ...terminated };
  const phase = ended.exitCode === 0 ? "Succeeded" : "Failed";
  return podWith({ phase, containerStatuses: [{ name: "main", state: { terminated: ended } }], ...status }, changes);
}
