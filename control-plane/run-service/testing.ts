/**
 * For tests of this room: replicas of the control plane on one real database, runs and actions written the way they are
 * in service (enqueue, lease, report), and readers of streams.
 *
 *     const { replica, play } = await stage(t);
 *     await play.run("r1");
 *     await play.report("r1", "a0", ActionPhase.RUNNING);
 */
import { setTimeout as sleep } from "node:timers/promises";
import { create, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { ExecutionErrorSchema } from "@flyte-ts/contract/flyteidl2/core/execution_pb.ts";
import { LabelsSchema, RunSpecSchema } from "@flyte-ts/contract/flyteidl2/task/run_pb.ts";
import { TaskIdentifierSchema, TaskSpecSchema } from "@flyte-ts/contract/flyteidl2/task/task_definition_pb.ts";
import { ConditionActionSchema } from "@flyte-ts/contract/flyteidl2/workflow/run_definition_pb.ts";
import { AttemptReportSchema } from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";
import { ActionPhase, ROOT_ACTION, toTimestamp } from "@flyte-ts/core";
import { type Database, openDatabase } from "@flyte-ts/platform/postgres";
import { type TestScope, testDatabase } from "@flyte-ts/platform/postgres/testing.ts";
import { type DescribeIdentity, describeIdentities } from "../identity-service/index.ts";
import { clusterRegistry } from "../queue-service/cluster-registry.ts";
import { insertCluster, pendingClasses } from "../queue-service/clusters-store.ts";
import { connectedClusters } from "../queue-service/connected-clusters.ts";
import { type Enqueue, enqueue } from "../queue-service/enqueue.ts";
import { leaseItems } from "../queue-service/lease-store.ts";
import { type SpecCache, specCache } from "../queue-service/specs.ts";
import { type ChangeBus, changeBus } from "../state-service/bus.ts";
import type { Timer } from "../state-service/coalescer.ts";
import { type IntentResult, type StateWriter, stateWriter } from "../state-service/state-writer.ts";
import { migrations } from "../testing.ts";
import { type ActionReader, actionReader } from "./action-reader.ts";
import { type KnownRun, type RunCache, runCache } from "./run-cache.ts";

export interface Replica {
  database: Database;
  bus: ChangeBus;
  runs: RunCache;
  specs: SpecCache;
  queue: Enqueue;
  writer: StateWriter;
  reader: ActionReader;
  identities: DescribeIdentity;
  /** What went wrong in the background. */
  errors: unknown[];
  close(): Promise<void>;
}

export interface Stage {
  replica: Replica;
  /** Another one on the same database; `wrap` puts something between it and the database. */
  another(options?: { wrap?: (database: Database) => Database; horizonMs?: number }): Promise<Replica>;
  play: Play;
  /** Reads a stream until the test ends. */
  read<T>(stream: (signal: AbortSignal) => AsyncGenerator<T>): StreamReader<T>;
}

export async function stage(t: TestScope): Promise<Stage> {
  const hooks: (() => Promise<void>)[] = [];
  const replicas: Replica[] = [];
  const left = new AbortController();
  const scope: TestScope = {
    after: (hook) => void hooks.push(hook),
    get error() {
      return t.error;
    },
    diagnostic: (message) => t.diagnostic?.(message),
  };
  const database = await testDatabase(scope, { migrations });
  t.after(async () => {
    left.abort();
    for (const one of replicas) await one.close();
    for (const hook of hooks) await hook();
  });
  const open = async (own: Database, close: () => Promise<void>, horizonMs?: number) => {
    const one = openReplica(own, close, horizonMs);
    replicas.push(one);
    await one.bus.ready;
    return one;
  };
  const replica = await open(database, async () => {});
  return {
    replica,
    async another({ wrap = (own: Database) => own, horizonMs } = {}) {
      const own = openDatabase({ url: database.url, applicationName: ANOTHER });
      return open(wrap(own), () => own.close(), horizonMs);
    },
    play: play(replica),
    read: (stream) => streamReader(stream(left.signal)),
  };
}

function openReplica(database: Database, closeDatabase: () => Promise<void>, horizonMs?: number): Replica {
  const errors: unknown[] = [];
  const onError = (error: unknown) => void errors.push(error);
  const bus = changeBus({ database, onError, ...(horizonMs && { horizonMs }) });
  const specs = specCache({ systemRetries: 3 });
  const runs = runCache();
  const identities = describeIdentities([]);
  return {
    database,
    bus,
    specs,
    runs,
    identities,
    errors,
    queue: enqueue({ database, bus, specs, runs, clusters: connectedClusters(clusterRegistry({ database })) }),
    writer: stateWriter({ database, bus, specs }),
    reader: actionReader({ database, runs, specs, identities }),
    async close() {
      await bus.close();
      await closeDatabase();
    },
  };
}

/** Its connections in `pg_stat_activity`, the one that listens with ` listen` behind it. */
export const ANOTHER = "another replica";
export const PROJECT = "shop";
export const DOMAIN = "development";
const CLUSTER = "embedded";

export interface ActionOptions {
  task?: string;
  version?: string;
  group?: string;
  retries?: number;
}

export interface RunOptions extends ActionOptions {
  project?: string;
  labels?: Record<string, string>;
  source?: number;
  createdBy?: string;
}

export interface Play {
  run(name: string, options?: RunOptions): Promise<KnownRun>;
  child(run: string, name: string, parent?: string, options?: ActionOptions): Promise<void>;
  condition(run: string, name: string, parent?: string): Promise<void>;
  report(
    run: string,
    name: string,
    phase: ActionPhase | undefined,
    more?: Omit<MessageInitShape<typeof AttemptReportSchema>, "$typeName">,
  ): Promise<IntentResult>;
  id(run: string): bigint;
}

/** Writes through a replica; names of runs are unique in a test, so they stand for the run. */
export function play({ database, queue, writer }: Replica): Play {
  const known = new Map<string, KnownRun>();
  const leases = new Map<string, { epoch: bigint; attempt: number }>();

  function runOf(name: string): KnownRun {
    const run = known.get(name);
    if (!run) throw new Error(`no run ${name} in this test`);
    return run;
  }

  /** One lease at a time: another one would find nothing pending, and its caller nothing leased. */
  let leasing: Promise<void> = Promise.resolve();
  async function lease(key: string) {
    leasing = leasing.then(async () => {
      if (leases.has(key)) return;
      const classes = (await pendingClasses(database)).map(({ id }) => id);
      await insertCluster(database, CLUSTER, "");
      const admission = { cluster: CLUSTER, session: 0n };
      const wanted = { classes, peers: [], slots: 30_000, limit: 30_000 };
      const { items } = await database.transaction((sql) => leaseItems(sql, admission, wanted));
      for (const { runId, name, epoch, attempt } of items) leases.set(`${runId}/${name}`, { epoch, attempt });
    });
    await leasing;
    const found = leases.get(key);
    if (!found) throw new Error(`${key} could not be leased`);
    return found;
  }

  function task({ task = "etl.load", version = "v1", retries = 0 }: ActionOptions, project: string) {
    const id = create(TaskIdentifierSchema, { project, domain: DOMAIN, name: task, version });
    const spec = create(TaskSpecSchema, {
      taskTemplate: { id: { name: task }, type: "python", metadata: { retries: { retries } } },
      shortName: task.slice(task.lastIndexOf(".") + 1),
      environment: { name: task.slice(0, task.lastIndexOf(".")) },
    });
    return { id, spec, cacheKey: "", queue: "" };
  }

  const place = (name: string, parent: string, group = "") => ({
    name,
    parent,
    inputUri: "file:///inputs",
    runOutputBase: "file:///outputs",
    group,
  });
  const existing = (name: string) => ({ kind: "existing" as const, name: runOf(name) });

  return {
    id: (name) => runOf(name).id,
    async run(name, options = {}) {
      const { project = PROJECT, labels = {}, source = 0, createdBy = "" } = options;
      const runSpec = create(RunSpecSchema, { labels: create(LabelsSchema, { values: labels }) });
      const run = {
        project,
        domain: DOMAIN,
        name,
        runSpec: toBinary(RunSpecSchema, runSpec),
        labels,
        source,
        createdBy,
        relatedTo: "",
        relationType: 0,
        inputsHash: "",
        startTime: new Date(),
      };
      const enqueued = await queue.submit({
        run: { kind: "new", run },
        action: { ...place(ROOT_ACTION, ""), task: task(options, project) },
      });
      known.set(name, enqueued.run);
      return enqueued.run;
    },
    async child(run, name, parent = ROOT_ACTION, options = {}) {
      await queue.submit({
        run: existing(run),
        action: { ...place(name, parent, options.group), task: task({ task: "etl.part", ...options }, PROJECT) },
      });
    },
    async condition(run, name, parent = ROOT_ACTION) {
      const condition = create(ConditionActionSchema, { name });
      await queue.submit({ run: existing(run), action: { ...place(name, parent), condition } });
    },
    async report(run, name, phase, more = {}) {
      const key = { runId: runOf(run).id, name };
      const held = await lease(`${key.runId}/${name}`);
      const report = create(AttemptReportSchema, {
        ...held,
        transitions: phase === undefined ? [] : [{ phase, at: toTimestamp(new Date()) }],
        ...more,
      });
      const result = await writer.submit({ kind: "report", key, cluster: CLUSTER, report });
      // A failure may have been followed by another attempt, which is leased anew.
      if (phase === ActionPhase.FAILED) leases.delete(`${key.runId}/${name}`);
      return result;
    },
  };
}

export function failure(kind: "user" | "system", message = "it broke"): Uint8Array {
  return toBinary(
    ExecutionErrorSchema,
    create(ExecutionErrorSchema, { code: "Error", message, kind: kind === "user" ? 1 : 2, recoverability: 1 }),
  );
}

export interface StreamReader<T> {
  /** The next message; throws when the stream ended. */
  next(): Promise<T>;
  /** Reads on until a message is as wanted, and gives it. */
  until(wanted: (message: T) => boolean): Promise<T>;
  /** Resolves when the stream ended by itself. */
  ended(): Promise<void>;
}

export function streamReader<T>(stream: AsyncGenerator<T>): StreamReader<T> {
  const next = async () => {
    const { done, value } = await stream.next();
    if (done) throw new Error("the stream ended");
    return value;
  };
  return {
    next,
    async until(wanted) {
      for (;;) {
        const message = await next();
        if (wanted(message)) return message;
      }
    },
    async ended() {
      for (;;) if ((await stream.next()).done) return;
    },
  };
}

/** A timer that fires when told. */
export function handTimer(): { timer: Timer; fire(ms: number): Promise<void> } {
  const waiting = new Set<{ ms: number; call: () => void }>();
  return {
    timer(ms, call) {
      const entry = { ms, call };
      waiting.add(entry);
      return () => waiting.delete(entry);
    },
    /** Waits until somebody waits for so many milliseconds or more, and calls them. */
    async fire(ms) {
      for (;;) {
        const due = [...waiting].filter((entry) => entry.ms >= ms);
        for (const entry of due) {
          waiting.delete(entry);
          entry.call();
        }
        if (due.length > 0) return;
        await sleep(5);
      }
    },
  };
}

export async function eventually(look: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await look())) await sleep(10);
}
