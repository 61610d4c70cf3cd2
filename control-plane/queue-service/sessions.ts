/**
 * Who speaks for a cluster. An executor that connects registers its cluster and begins a session; the newest session of a
 * cluster is the only one that leases for it. A session lives by its heartbeats.
 */
import type { ConnectRequest } from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";
import { failedPrecondition, groupCommit, invalidArgument, notFound } from "@flyte-ts/core";
import type { Database, Sql } from "@flyte-ts/platform/postgres";
import { retryingTransaction } from "../retrying-transaction.ts";
import { type ChangeBus, noHint } from "../state-service/bus.ts";
import {
  type Beat,
  beat,
  beginSession,
  type ClusterFacts,
  type ClusterRow,
  deleteCluster,
  insertCluster,
  lockCluster,
  loseCluster,
  loseSilent,
  readHolder,
  setDrained,
} from "./clusters-store.ts";

/** Clusters or classes changed: who may take what must be decided anew. */
export const rerouted = { ...noHint, work: true, routes: true };

export interface Sessions {
  readonly leaseMs: number;
  readonly heartbeatMs: number;
  /** FAILED_PRECONDITION when another cluster that is live has the name. */
  begin(request: ConnectRequest): Promise<bigint>;
  /** Whether the session is current. */
  beat(beat: Beat): Promise<boolean>;
  /**
   * Who speaks for the cluster instead of this session; "" when nobody does. Told while that one was heard of within half
   * a lease: whoever waits for its end has the other half to take over before the leases are lost.
   */
  holder(beat: Beat): Promise<string>;
  /** Ends the sessions of clusters that were silent for too long; gives how many. */
  loseSilent(): Promise<number>;
  drain(name: string, reason: string): Promise<void>;
  resume(name: string): Promise<void>;
  forget(name: string): Promise<void>;
}

export interface SessionsOptions {
  database: Database;
  bus: ChangeBus;
  /** Gives up the leases of clusters that are lost. */
  giveUp(): Promise<void>;
  /** A cluster loses its leases after so long without a heartbeat; 60 s unless told. */
  leaseMs?: number;
  /** How often executors are asked for a heartbeat; 10 s unless told. */
  heartbeatMs?: number;
}

export function sessions(options: SessionsOptions): Sessions {
  const { database, bus, giveUp, leaseMs = 60_000, heartbeatMs = 10_000 } = options;

  /** Changes what replicas route by, and tells them all. */
  async function change<T>(body: (sql: Sql) => Promise<T>): Promise<T> {
    const result = await retryingTransaction(database, async (sql) => {
      const value = await body(sql);
      await bus.notify(sql, [], rerouted);
      return value;
    });
    bus.publish([], rerouted);
    return result;
  }

  async function known(sql: Sql, name: string): Promise<ClusterRow> {
    const row = await lockCluster(sql, name);
    if (!row) throw notFound(`no cluster ${name} is registered; list the clusters to see those there are`);
    return row;
  }

  const isLive = (row: ClusterRow) => row.lostAt === null && row.silentMs < leaseMs;
  const beats = groupCommit<Beat, boolean>({
    maxItems: 1000,
    async commit(all) {
      const current = await beat(database, all);
      return all.map(({ session }) => ({ ok: true, value: current.has(session) }));
    },
  });

  return {
    leaseMs,
    heartbeatMs,
    async begin(request) {
      if (request.cluster === "") throw invalidArgument("the executor names no cluster; give it one");
      const facts = factsOf(request);
      const attempt = () =>
        change(async (sql) => {
          await insertCluster(sql, facts.name, facts.uid);
          const row = await known(sql, facts.name);
          // One that has told no uid yet is told apart from now on.
          if (row.uid === facts.uid || row.uid === "") return beginSession(sql, facts);
          if (isLive(row)) throw nameTaken(row, facts, leaseMs);
          // What the other cluster holds is not here to be adopted.
          await loseCluster(sql, facts.name);
          return undefined;
        });
      const session = await attempt();
      if (session !== undefined) return session;
      await giveUp();
      return change(async (sql) => {
        const row = await known(sql, facts.name);
        if (row.uid !== facts.uid && isLive(row)) throw nameTaken(row, facts, leaseMs);
        return beginSession(sql, facts);
      });
    },
    beat: (one) => beats.submit(one),
    async holder(one) {
      const executor = await readHolder(database, one, leaseMs / 2);
      return executor === "" ? "one without a name" : (executor ?? "");
    },
    async loseSilent() {
      const lost = await loseSilent(database, leaseMs);
      if (lost > 0) await change(async () => undefined);
      return lost;
    },
    drain: (name, reason) =>
      change(async (sql) => {
        await known(sql, name);
        await setDrained(sql, name, true, reason);
      }),
    resume: (name) =>
      change(async (sql) => {
        await known(sql, name);
        await setDrained(sql, name, false, "");
      }),
    async forget(name) {
      await change(async (sql) => {
        const row = await known(sql, name);
        if (isLive(row)) {
          throw failedPrecondition(
            `cluster ${name} is live: its executor was heard of ${seconds(row.silentMs)} ago; stop the executor, wait ${seconds(leaseMs - row.silentMs)}, and forget it then`,
          );
        }
        await loseCluster(sql, name);
      });
      await giveUp();
      await change(async (sql) => {
        if (!(await known(sql, name)).lostAt) {
          throw failedPrecondition(`cluster ${name} came back meanwhile and is kept; stop its executor first`);
        }
        await deleteCluster(sql, name);
      });
    },
  };
}

function factsOf(request: ConnectRequest): ClusterFacts {
  const { labels, taskTypes, queues, slots, capacity } = request;
  const of = { kind: request.kind, version: request.version, executor: request.executor };
  return {
    ...of,
    name: request.cluster,
    uid: request.clusterUid,
    labels,
    taskTypes,
    queues,
    slots,
    capacity: {
      cpu: capacity?.cpu ?? 0,
      memoryBytes: Number(capacity?.memoryBytes ?? 0n),
      ephemeralStorageBytes: Number(capacity?.ephemeralStorageBytes ?? 0n),
      accelerators: capacity?.accelerators ?? [],
    },
  };
}

function nameTaken(holder: ClusterRow, { name, uid, kind }: ClusterFacts, leaseMs: number) {
  const key = kind === "embedded" ? "embedded.cluster" : "cluster";
  const named = (id: string) => (id === "" ? "without a uid" : `with uid ${id}`);
  return failedPrecondition(
    `the name ${name} belongs to a live cluster ${named(holder.uid)} (executor ${holder.executor}, heard of ${seconds(holder.silentMs)} ago), and this is another one, ${named(uid)}: give this one a name of its own (${key} in its configuration), or stop that executor and wait ${seconds(leaseMs)}`,
  );
}

export function seconds(ms: number): string {
  return `${Math.max(0, Math.round(ms / 100) / 10)} s`;
}
