/**
 * The clusters whose executors are connected to this replica. An enqueue leases to one of them in its own transaction what
 * needs no slot, so that a short action costs no commit of its own between enqueue and work. What it leaves is leased as
 * ever, woken by the commit.
 */
import type { RouteClass } from "@flyte-ts/core";
import type { Sql } from "@flyte-ts/platform/postgres";
import type { ClusterRegistry } from "./cluster-registry.ts";
import { type Admission, type Lease, type LeasedItem, leaseItems } from "./lease-store.ts";

export interface ConnectedCluster {
  admission: Admission;
  /** How much it has to do. */
  load(): number;
  /** Takes what was leased for it, once that is committed. */
  deliver(items: readonly LeasedItem[]): void;
}

export interface ConnectedClusters {
  registry: ClusterRegistry;
  /** Gives the function that takes the cluster out again. */
  add(cluster: ConnectedCluster): () => void;
  /**
   * Sends the lease of such classes to the least loaded cluster that may take any of them; undefined when none that is
   * connected may.
   */
  lease(
    sql: Sql,
    classes: readonly RouteClass[],
    limit: number,
  ): { lease: Promise<Lease>; deliver(items: readonly LeasedItem[]): void } | undefined;
}

export function connectedClusters(registry: ClusterRegistry): ConnectedClusters {
  const connected = new Set<ConnectedCluster>();
  return {
    registry,
    add(cluster) {
      connected.add(cluster);
      return () => connected.delete(cluster);
    },
    lease(sql, classes, limit) {
      let best: { cluster: ConnectedCluster; classes: bigint[]; load: number } | undefined;
      for (const cluster of connected) {
        const load = cluster.load();
        if (best && load >= best.load) continue;
        const its = classes.filter((one) => registry.mayTake(cluster.admission.cluster, one)).map(({ id }) => id);
        if (its.length > 0) best = { cluster, classes: its, load };
      }
      if (!best) return undefined;
      // The one that was served goes to the end of the line.
      connected.delete(best.cluster);
      connected.add(best.cluster);
      const wanted = { classes: best.classes, peers: [], slots: 0, limit };
      return { lease: leaseItems(sql, best.cluster.admission, wanted), deliver: best.cluster.deliver };
    },
  };
}
