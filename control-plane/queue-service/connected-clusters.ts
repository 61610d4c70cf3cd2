/**
 * The clusters whose executors are connected to this replica. An enqueue leases to one of them in its own transaction what
 * needs no slot, so that a short action costs no commit of its own between enqueue and work. What it leaves is leased as
 * ever, woken by the commit.
 */
import type { Sql } from "@flyte-ts/platform/postgres";
import { type Admission, type LeasedItem, leaseItems } from "./lease-store.ts";

export interface ConnectedCluster {
  admission: Admission;
  /** Takes what was leased for it, once that is committed. */
  deliver(items: readonly LeasedItem[]): void;
}

export interface ConnectedClusters {
  /** Gives the function that takes the cluster out again. */
  add(cluster: ConnectedCluster): () => void;
  /** Sends the lease; undefined when no cluster is connected. */
  lease(
    sql: Sql,
    limit: number,
  ): { items: Promise<LeasedItem[]>; deliver(items: readonly LeasedItem[]): void } | undefined;
}

export function connectedClusters(): ConnectedClusters {
  const connected = new Set<ConnectedCluster>();
  return {
    add(cluster) {
      connected.add(cluster);
      return () => connected.delete(cluster);
    },
    lease(sql, limit) {
      const [next] = connected;
      if (!next) return undefined;
      // The one that was served goes to the end of the line.
      connected.delete(next);
      connected.add(next);
      return { items: leaseItems(sql, next.admission, 0, limit), deliver: next.deliver };
    },
  };
}
