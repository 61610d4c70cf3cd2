/** ClusterAdminService: what people ask of the registry, and what they tell it. */
import { create } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  type Cluster,
  type ClusterAdminService,
  ClusterSchema,
  ClusterState,
} from "@flyte-ts/contract/flytets/cluster/v1/cluster_admin_pb.ts";
import { notFound, ROOT_ACTION, route, toTimestamp } from "@flyte-ts/core";
import type { Database } from "@flyte-ts/platform/postgres";
import type { RunCache } from "../run-service/run-cache.ts";
import { actionKey } from "../state-service/index.ts";
import { routable } from "./cluster-registry.ts";
import { type ClusterRow, countHeld, countPending, pendingClasses, readClusters } from "./clusters-store.ts";
import { explain } from "./explain.ts";
import type { Sessions } from "./sessions.ts";

export interface ClusterAdminServiceOptions {
  database: Database;
  runs: RunCache;
  sessions: Sessions;
}

export function clusterAdminService(options: ClusterAdminServiceOptions): ServiceImpl<typeof ClusterAdminService> {
  const { database, runs, sessions } = options;

  async function clusters(): Promise<Cluster[]> {
    const [rows, held, pending, classes] = await Promise.all([
      readClusters(database),
      countHeld(database),
      countPending(database),
      pendingClasses(database),
    ]);
    const eligible = new Map<string, number>();
    for (const { id, requirements } of classes) {
      for (const { cluster, mayTake } of route(requirements, rows.map(routable))) {
        if (mayTake) eligible.set(cluster, (eligible.get(cluster) ?? 0) + (pending.get(id) ?? 0));
      }
    }
    return rows.map((row) => {
      const { leased = 0, ending = 0, slotsUsed = 0 } = held.get(row.name) ?? {};
      return clusterView(row, { leased, ending, slotsUsed, eligible: eligible.get(row.name) ?? 0 });
    });
  }

  async function one(name: string): Promise<Cluster> {
    const found = (await clusters()).find((cluster) => cluster.name === name);
    if (!found) throw notFound(`no cluster ${name} is registered; list the clusters to see those there are`);
    return found;
  }

  return {
    async listClusters() {
      return { clusters: await clusters() };
    },
    async getCluster({ name }) {
      return { cluster: await one(name) };
    },
    async drainCluster({ name, reason }) {
      await sessions.drain(name, reason);
      return { cluster: await one(name) };
    },
    async resumeCluster({ name }) {
      await sessions.resume(name);
      return { cluster: await one(name) };
    },
    async forgetCluster({ name }) {
      await sessions.forget(name);
      return {};
    },
    async explainAction({ project, domain, run, action }) {
      const name = action || ROOT_ACTION;
      const id = {
        run: { $typeName: "flyteidl2.common.RunIdentifier" as const, org: "", project, domain, name: run },
        name,
      };
      const explanation = await explain(database, await actionKey(database, runs, id));
      if (!explanation) throw notFound(`run ${run} has no action ${name}`);
      return explanation;
    },
  };
}

const stateOf = { live: ClusterState.LIVE, draining: ClusterState.DRAINING, lost: ClusterState.LOST };

function clusterView(
  row: ClusterRow,
  counts: { leased: number; ending: number; slotsUsed: number; eligible: number },
): Cluster {
  const { name, kind, version, executor, labels, taskTypes, queues, capacity, slots, drainReason } = row;
  return create(ClusterSchema, {
    ...{ name, kind, version, executor, labels, taskTypes, queues, slots, drainReason },
    ...counts,
    state: stateOf[routable(row).state],
    capacity: {
      cpu: capacity.cpu,
      memoryBytes: BigInt(Math.round(capacity.memoryBytes)),
      ephemeralStorageBytes: BigInt(Math.round(capacity.ephemeralStorageBytes)),
      accelerators: capacity.accelerators,
    },
    registeredAt: toTimestamp(row.registeredAt),
    lastHeartbeatAt: toTimestamp(row.lastHeartbeatAt),
  });
}
