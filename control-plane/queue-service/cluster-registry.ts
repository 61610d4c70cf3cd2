/**
 * The clusters there are and the classes of actions, as this replica knows them, and who may take what. Read from the
 * database whenever a commit says that it changed; decisions are made by `core/routing.ts` and kept until then.
 */
import { type RoutableCluster, type RouteClass, route } from "@flyte-ts/core";
import type { Sql } from "@flyte-ts/platform/postgres";
import { type ClusterRow, insertClasses, newClasses, pendingClasses, readClusters } from "./clusters-store.ts";

/** Classes that one cluster may take together with the same others. */
export interface ClassGroup {
  classes: bigint[];
  /** The others; empty when only this cluster may. */
  peers: string[];
}

export interface ClusterRegistry {
  /** As last read. */
  readonly clusters: readonly ClusterRow[];
  /** Resolves after a reading that began after this call. */
  refresh(): Promise<void>;
  /** What `cluster` may take now. */
  groups(cluster: string): readonly ClassGroup[];
  mayTake(cluster: string, one: RouteClass): boolean;
  /** Writes those of the classes that this replica does not know; call `remember` once they are committed. */
  store(sql: Sql, classes: readonly RouteClass[]): RouteClass[];
  remember(classes: readonly RouteClass[]): void;
}

export interface ClusterRegistryOptions {
  database: Sql;
  /** Classes beyond this number are forgotten when nothing of theirs is pending. */
  maxClasses?: number;
}

/** A class is seen this much later than it was written, at most. */
const LONGEST_COMMIT_MS = 60_000;

export function clusterRegistry({ database, maxClasses = 500 }: ClusterRegistryOptions): ClusterRegistry {
  let clusters: readonly ClusterRow[] = [];
  const classes = new Map<bigint, RouteClass>();
  /** By class: the clusters of the best tier, while nothing changed. */
  const takers = new Map<bigint, readonly string[]>();
  const groups = new Map<string, readonly ClassGroup[]>();
  let reading: Promise<void> = Promise.resolve();
  let next: Promise<void> | undefined;
  /** Classes written before this were read. */
  let since = new Date(0);

  async function read(): Promise<void> {
    const [rows, fresh, pending] = await Promise.all([
      readClusters(database),
      newClasses(database, since, maxClasses),
      pendingClasses(database),
    ]);
    clusters = rows;
    takers.clear();
    groups.clear();
    if (classes.size > maxClasses) classes.clear();
    for (const { id, requirements } of [...fresh, ...pending]) classes.set(id, { id, requirements });
    const [newest] = fresh;
    if (newest) since = new Date(newest.createdAt.getTime() - LONGEST_COMMIT_MS);
  }

  function takersOf(one: RouteClass): readonly string[] {
    let known = takers.get(one.id);
    if (!known) {
      const verdicts = route(one.requirements, clusters.map(routable));
      known = verdicts.flatMap(({ cluster, mayTake }) => (mayTake ? [cluster] : []));
      takers.set(one.id, known);
    }
    return known;
  }

  function groupsOf(cluster: string): readonly ClassGroup[] {
    const byPeers = new Map<string, ClassGroup>();
    for (const one of classes.values()) {
      const all = takersOf(one);
      if (!all.includes(cluster)) continue;
      const peers = all.filter((name) => name !== cluster);
      const key = JSON.stringify(peers);
      const group = byPeers.get(key) ?? { classes: [], peers };
      group.classes.push(one.id);
      byPeers.set(key, group);
    }
    // What nobody else takes comes first.
    return [...byPeers.values()].sort((a, b) => a.peers.length - b.peers.length);
  }

  return {
    get clusters() {
      return clusters;
    },
    refresh() {
      next ??= reading.then(() => {
        next = undefined;
        const turn = read();
        // A reading that fails is told to those who asked for it; the next one goes its own way.
        reading = turn.catch(() => undefined);
        return turn;
      });
      return next;
    },
    groups(cluster) {
      let known = groups.get(cluster);
      if (!known) {
        known = groupsOf(cluster);
        groups.set(cluster, known);
      }
      return known;
    },
    mayTake: (cluster, one) => takersOf(one).includes(cluster),
    store(sql, wanted) {
      const fresh = [...new Map(wanted.map((one) => [one.id, one])).values()].filter(({ id }) => !classes.has(id));
      if (fresh.length > 0) void insertClasses(sql, fresh).catch(() => {});
      return fresh;
    },
    remember(some) {
      for (const one of some) classes.set(one.id, one);
      if (some.length > 0) groups.clear();
    },
  };
}

/** A row as decisions see it. */
export function routable(row: ClusterRow): RoutableCluster {
  const { name, drainReason, taskTypes, queues, labels, capacity } = row;
  const state = row.lostAt ? "lost" : row.drainedAt ? "draining" : "live";
  return { name, state, drainReason, taskTypes, queues, labels, capacity };
}
