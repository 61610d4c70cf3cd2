/**
 * For tests of the engine (queue, state, cache): replicas of the control plane on one real database, clients through the
 * real services, and clusters that lease by the real link and report what the test tells them to.
 *
 *     const { replica, cluster } = await engine(t);
 *     const run = await replica.play.run(task("load"));
 *     const executor = await cluster();
 *     const lease = await executor.leased(run, "a0");
 *     await executor.succeed(lease);
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { ActionsService } from "@flyte-ts/contract/flyteidl2/actions/actions_service_pb.ts";
import { RunService } from "@flyte-ts/contract/flyteidl2/workflow/run_service_pb.ts";
import { ClusterAdminService } from "@flyte-ts/contract/flytets/cluster/v1/cluster_admin_pb.ts";
import { ClusterLinkService, ObjectStoreAccessSchema } from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";
import { type Clock, isTerminal, notFound } from "@flyte-ts/core";
import { type ObjectStore, openObjectStore } from "@flyte-ts/platform/object-store";
import { type Database, openDatabase, type Sql } from "@flyte-ts/platform/postgres";
import { type TestScope, testDatabase } from "@flyte-ts/platform/postgres/testing.ts";
import { actionsService } from "../actions-service/index.ts";
import { describeIdentities } from "../identity-service/index.ts";
import { actionReader, conditionOf, createRun, runCache, runService } from "../run-service/index.ts";
import { aborts, changeBus, signals, stateWriter, updateStreams } from "../state-service/index.ts";
import { migrations, testTransport } from "../testing.ts";
import { clusterAdminService } from "./cluster-admin-service.ts";
import { clusterLink } from "./cluster-link.ts";
import { clusterLinkService } from "./cluster-link-service.ts";
import { clusterRegistry } from "./cluster-registry.ts";
import { connectedClusters } from "./connected-clusters.ts";
import { enqueue } from "./enqueue.ts";
import { watchExpiry } from "./expiry.ts";
import { whyUnroutable } from "./explain.ts";
import { giveUpLost, watchClusters } from "./fencing.ts";
import { sessions } from "./sessions.ts";
import { specCache } from "./specs.ts";
import { type ClusterOptions, connectCluster, type TestCluster } from "./testing/cluster.ts";
import { play } from "./testing/play.ts";

export * from "./testing/cluster.ts";
export * from "./testing/play.ts";

export type Replica = Awaited<ReturnType<typeof openReplica>>;

export interface EngineOptions {
  clock?: Clock;
  systemRetries?: number;
  /** How often a cluster's connection looks at all that is held. */
  recheckMs?: number;
  /** How long a cluster keeps its leases without a heartbeat, and how often connections of this process send one. */
  leaseMs?: number;
  heartbeatMs?: number;
}

export interface Engine {
  database: Database;
  objects: ObjectStore;
  replica: Replica;
  /** Another replica on the same database; `wrap` puts something between it and the database. */
  another(wrap?: (database: Database) => Database): Promise<Replica>;
  /** A connection of a cluster's executor, which has got all that the cluster holds. */
  cluster(options?: ClusterOptions, of?: Replica): Promise<TestCluster>;
}

export async function engine(t: TestScope, options: EngineOptions = {}): Promise<Engine> {
  const hooks: (() => Promise<unknown>)[] = [];
  const scope: TestScope = {
    after: (hook) => void hooks.push(hook),
    get error() {
      return t.error;
    },
    diagnostic: (message) => t.diagnostic?.(message),
  };
  const database = await testDatabase(scope, { migrations });
  const folder = await mkdtemp(join(tmpdir(), "flyte-ts-engine-"));
  const opened = await openObjectStore({
    folder,
    sync: "none",
    publicUrl: () => "http://127.0.0.1:9",
    credentials: { accessKeyId: "test", secretAccessKey: "not a secret" },
  });
  const replicas: Replica[] = [];
  const clusters: TestCluster[] = [];
  t.after(async () => {
    for (const one of clusters) await one.close();
    for (const one of replicas) await one.close();
    await opened.close();
    await rm(folder, { recursive: true, force: true });
    for (const hook of hooks) await hook();
  });

  async function open(own: Database): Promise<Replica> {
    const one = await openReplica(own, opened.store, options);
    replicas.push(one);
    return one;
  }
  const replica = await open(database);
  return {
    database,
    objects: opened.store,
    replica,
    async another(wrap = (own) => own) {
      const own = openDatabase({ url: database.url, applicationName: "another replica" });
      hooks.unshift(() => own.close());
      return open(wrap(own));
    },
    async cluster(how = {}, of = replica) {
      const one = await connectCluster(of.link, how);
      clusters.push(one);
      return one;
    },
  };
}

async function openReplica(
  database: Database,
  objects: ObjectStore,
  { clock, systemRetries = 2, recheckMs, leaseMs, heartbeatMs }: EngineOptions,
) {
  const errors: unknown[] = [];
  const onError = (error: unknown) => void errors.push(error);
  const timed = clock ? { clock } : {};
  const bus = changeBus({ database, onError });
  const specs = specCache({ systemRetries });
  const runs = runCache();
  const clusters = connectedClusters(clusterRegistry({ database }));
  const queue = enqueue({ clusters, database, bus, specs, runs, ...timed });
  const writer = stateWriter({ database, bus, specs, ...timed });
  const giveUp = giveUpLost({ database, writer });
  const registry = sessions({
    database,
    bus,
    giveUp,
    ...(leaseMs !== undefined && { leaseMs }),
    ...(heartbeatMs !== undefined && { heartbeatMs }),
  });
  const link = clusterLink({
    clusters,
    sessions: registry,
    objectStore: create(ObjectStoreAccessSchema, { url: "s3://flyte-data" }),
    database,
    bus,
    specs,
    runs,
    writer,
    ...(recheckMs !== undefined && { recheckMs }),
  });
  const abort = aborts({ database, runs, writer });
  const signal = signals({ database, writer, conditionOf });
  const updates = updateStreams({ database, bus, runs });
  const identities = describeIdentities([]);
  const reader = actionReader({ database, runs, specs, identities, whyWaiting: whyUnroutable });
  const createRuns = createRun({
    queue,
    objects,
    async requireProject() {},
    async deployedTask(id) {
      throw notFound(`no task ${id.name} is deployed in this test`);
    },
    ...timed,
  });
  const transport = testTransport(({ service }) => {
    service(
      RunService,
      runService({ database, bus, runs, reader, createRun: createRuns, aborts: abort, signals: signal, identities }),
    );
    service(
      ActionsService,
      actionsService({ database, queue, runs, aborts: abort, signals: signal, updates, objects }),
    );
    service(ClusterLinkService, clusterLinkService(link));
    service(ClusterAdminService, clusterAdminService({ database, runs, sessions: registry }));
  });
  const stopped = new AbortController();
  let expiry: Promise<void> | undefined;
  let fencing: Promise<void> | undefined;
  const clients = {
    runs: createClient(RunService, transport),
    actions: createClient(ActionsService, transport),
    /** What executors elsewhere call. */
    remoteLink: createClient(ClusterLinkService, transport),
    admin: createClient(ClusterAdminService, transport),
  };
  await bus.ready;
  return {
    database,
    bus,
    specs,
    queue,
    writer,
    link,
    updates,
    /** What went wrong in the background. */
    errors,
    ...clients,
    play: play(clients, database),
    /** Begins to watch the limits of time. */
    watchLimits() {
      expiry ??= watchExpiry({ database, bus, writer, onError }, stopped.signal);
    },
    /** Begins to give up the leases of clusters that are not heard of. */
    watchClusters() {
      fencing ??= watchClusters({ sessions: registry, giveUp, onError }, stopped.signal);
    },
    async close() {
      stopped.abort();
      await Promise.all([expiry, fencing]);
      await Promise.all([queue.drained(), writer.drained()]);
      await bus.close();
    },
  };
}

/** Waits until the answer is one to go on with, and gives it. */
export async function eventually<T>(look: () => T | undefined | Promise<T | undefined>): Promise<T> {
  for (;;) {
    const seen = await look();
    if (seen !== undefined && seen !== false) return seen;
    await sleep(5);
  }
}

export interface QueueRow {
  name: string;
  state: number;
  attempt: number;
  epoch: bigint;
  cluster: string | null;
}

/** The queue as it is in the database, by name. */
export async function queueRows(database: Database): Promise<Map<string, QueueRow>> {
  const { rows } = await database.query<QueueRow>({
    text: "select name, state, attempt, epoch, cluster from queue_items order by id",
  });
  return new Map(rows.map((row) => [row.name, row]));
}

/** Live actions under ones that are over, and live actions without a row in the queue, or rows without a live action. */
export async function inconsistencies(database: Database): Promise<string[]> {
  const { rows } = await database.query<{
    name: string;
    phase: number;
    parentPhase: number | null;
    state: number | null;
  }>({
    text: `select coalesce(a.name, q.name) as name, a.phase, p.phase as "parentPhase", q.state
      from actions a left join actions p on p.run_id = a.run_id and p.name = a.parent
      full join queue_items q on q.run_id = a.run_id and q.name = a.name`,
  });
  return rows.flatMap(({ name, phase, parentPhase, state }) => {
    if (phase === null) return [`${name} is queued and does not exist`];
    const live = !isTerminal(phase);
    if (live && state === null) return [`${name} is live and not queued`];
    if (live && state === 2) return [`${name} is live and ending`];
    if (!live && state !== null && state !== 2) return [`${name} is over and queued in state ${state}`];
    if (live && parentPhase !== null && isTerminal(parentPhase)) return [`${name} lives below an action that is over`];
    return [];
  });
}

/** How many statements wait for a lock just now. */
export async function lockWaits(database: Database): Promise<number> {
  const { rows } = await database.query<{ waits: number }>({
    text: `select count(*)::int as waits from pg_stat_activity
      where datname = current_database() and wait_event_type = 'Lock'`,
  });
  return rows[0]?.waits ?? 0;
}

/** A database whose transactions stop before their commit while the gate is closed; opens windows on purpose. */
export function gated() {
  let gate: { opened: PromiseWithResolvers<void>; reached: PromiseWithResolvers<Sql> } | undefined;
  return {
    wrap: (database: Database): Database => ({
      ...database,
      transaction: (body) =>
        database.transaction(async (sql) => {
          const result = await body(sql);
          if (gate) {
            const { opened, reached } = gate;
            // Answered only after everything that was sent before: the rows are written and locked by then.
            await sql.query({ text: "select 1" });
            reached.resolve(sql);
            await opened.promise;
          }
          return result;
        }),
    }),
    close() {
      gate = { opened: Promise.withResolvers(), reached: Promise.withResolvers() };
    },
    /** The transaction that stands at the closed gate. */
    reached: (): Promise<Sql> => (gate ? gate.reached.promise : Promise.reject(new Error("the gate is open"))),
    open() {
      gate?.opened.resolve();
      gate = undefined;
    },
  };
}
