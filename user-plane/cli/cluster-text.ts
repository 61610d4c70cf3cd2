/** Clusters and explanations as text. Pure. */
import {
  type Cluster,
  ClusterState,
  type ExplainActionResponse,
} from "@flyte-ts/contract/flytets/cluster/v1/cluster_admin_pb.ts";
import { toDate } from "@flyte-ts/core";
import { age, table } from "./table.ts";

const stateNames: Readonly<Record<number, string>> = {
  [ClusterState.LIVE]: "live",
  [ClusterState.DRAINING]: "draining",
  [ClusterState.LOST]: "lost",
};

export function clusterTable(clusters: readonly Cluster[], now: Date): string {
  if (clusters.length === 0) return "no cluster is registered; flyte-ts executor --help tells how one comes\n";
  return table(
    ["NAME", "STATE", "KIND", "SLOTS", "LEASED", "WAITING", "TASK TYPES", "QUEUES", "HEARD OF"],
    clusters.map((cluster) => [
      cluster.name,
      stateOf(cluster),
      cluster.kind || "-",
      `${cluster.slotsUsed}/${cluster.slots}`,
      String(cluster.leased),
      String(cluster.eligible),
      taskTypes(cluster).taken.join(",") || "-",
      cluster.queues.join(",") || "-",
      heardOf(cluster, now),
    ]),
  );
}

export function clusterText(cluster: Cluster, now: Date): string {
  const { capacity } = cluster;
  const labels = Object.entries(cluster.labels).map(([name, value]) => `${name}=${value}`);
  const drained = cluster.drainReason === "" ? "" : ` (${cluster.drainReason})`;
  return lines([
    ["name", cluster.name],
    ["state", `${stateOf(cluster)}${drained}`],
    ["kind", cluster.kind],
    ["executor", [cluster.executor, cluster.version].filter((part) => part !== "").join(", ")],
    ["heard of", `${heardOf(cluster, now)} ago`],
    ["registered", cluster.registeredAt ? toDate(cluster.registeredAt).toISOString() : ""],
    ["slots", `${cluster.slotsUsed} of ${cluster.slots} in use`],
    ["actions", `${cluster.leased} leased, ${cluster.ending} being cleaned up, ${cluster.eligible} waiting`],
    ["task types", taskTypes(cluster).taken.join(", ")],
    ["lacks", taskTypes(cluster).lacked.join(", ")],
    ["queues", cluster.queues.join(", ")],
    ["labels", labels.join(", ")],
    ["accelerators", capacity?.accelerators.join(", ") ?? ""],
    ["largest action", largest(cluster)],
  ]);
}

export function explanationText({ summary, clusters }: ExplainActionResponse): string {
  const rows = clusters.map((one) => [one.cluster, one.mayTake ? "yes" : "no", one.reason]);
  return `${summary}\n${rows.length > 0 ? `\n${table(["CLUSTER", "MAY TAKE IT", "BECAUSE"], rows)}` : ""}`;
}

export function stateOf({ state }: Cluster): string {
  return stateNames[state] ?? "unknown";
}

/** A type that the cluster lacks something for is told with a mark before it. */
function taskTypes({ taskTypes: all }: Cluster): { taken: string[]; lacked: string[] } {
  const lacked = all.filter((type) => type.startsWith("!"));
  return { taken: all.filter((type) => !lacked.includes(type)), lacked: lacked.map((type) => type.slice(1)) };
}

function heardOf({ lastHeartbeatAt }: Cluster, now: Date): string {
  return lastHeartbeatAt ? age(now.getTime() - toDate(lastHeartbeatAt).getTime()) : "-";
}

function largest({ capacity }: Cluster): string {
  const gib = (bytes: bigint) => `${Number((Number(bytes) / 2 ** 30).toFixed(2))} GiB`;
  const parts = [
    capacity && capacity.cpu > 0 ? `${capacity.cpu} CPU` : "",
    capacity && capacity.memoryBytes > 0n ? `${gib(capacity.memoryBytes)} memory` : "",
    capacity && capacity.ephemeralStorageBytes > 0n ? `${gib(capacity.ephemeralStorageBytes)} ephemeral storage` : "",
  ].filter((part) => part !== "");
  return parts.join(", ") || "not limited";
}

function lines(rows: readonly [string, string][]): string {
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `${name.padEnd(width)}  ${value || "-"}\n`).join("");
}
