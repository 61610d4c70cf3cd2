/**
 * The executor of one cluster: dials the control plane, takes leases, turns each into real work through a plugin, and
 * reports what becomes of it.
 *
 * Promise: it may be killed at any moment. What it leased is sent to it again, work that goes on is adopted by its
 * plugin, and nothing that ended runs twice. A control plane that is away costs nothing but patience: work goes on,
 * reports wait and are repeated.
 *
 *     const local = executor({ cluster: "embedded", link, store: memoryActionStore(), plugins, clock, log, slots: 8 });
 *     await local.run(signal);
 */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type AttemptReport,
  type CapacitySchema,
  ConnectRequestSchema,
} from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";
import { type Clock, systemClock } from "@flyte-ts/core";
import { reconciler } from "@flyte-ts/platform/work-queue";
import type { ActionStore } from "./action-store.ts";
import { connection } from "./connection.ts";
import type { ControlLink } from "./control-link.ts";
import { intake } from "./intake.ts";
import type { Log } from "./log.ts";
import { type Plugin, pluginTable, taskTypesOf } from "./plugin.ts";
import { reportQueue } from "./report-queue.ts";
import { work } from "./work.ts";

export interface ExecutorOptions {
  cluster: string;
  /** Tells executor processes of one cluster apart in logs. */
  name?: string;
  link: ControlLink;
  store: ActionStore;
  plugins: readonly Plugin[];
  log: Log;
  clock?: Clock;
  /** Actions that need a slot, leased at once. */
  slots: number;
  labels?: Readonly<Record<string, string>>;
  /** Tells clusters apart that were given one name; see `ConnectRequest.cluster_uid`. */
  clusterUid?: string;
  /** Queues that this cluster serves. */
  queues?: readonly string[];
  /** What the cluster has for a single action at most. */
  capacity?: MessageInitShape<typeof CapacitySchema>;
  /** For people: what kind of cluster this is, and the executor's release. */
  kind?: string;
  version?: string;
  /** Attempts worked on at once (steps, not running work). */
  concurrency?: number;
  backoff?: { firstMs: number; maxMs: number };
}

export interface Executor {
  run(signal: AbortSignal): Promise<void>;
}

export function executor(options: ExecutorOptions): Executor {
  const { store, log, link } = options;
  const clock = options.clock ?? systemClock;
  const backoff = options.backoff ?? { firstMs: 100, maxMs: 5_000 };

  const reports = reportQueue({
    cluster: options.cluster,
    link,
    backoff,
    onVerdict: answered,
    onError: (error, waiting) =>
      log.warn({ err: error, waiting }, "reports could not be handed in and will be repeated"),
  });
  const attempts = work({
    store,
    clock,
    log,
    pluginFor: pluginTable(options.plugins),
    report: (key, report) => reports.push(key, report),
    wake: (key) => queue.add(key),
  });
  const queue = reconciler({
    reconcile: attempts.reconcile,
    onError: attempts.onError,
    concurrency: options.concurrency ?? 64,
    backoff: { firstMs: 50, maxMs: 5_000 },
  });
  const incoming = intake({
    store,
    log,
    report: (key, report) => reports.push(key, report),
    wake: (key) => queue.add(key),
    onSynced: () => void sweep(),
  });

  const dial = connection({
    link,
    log,
    backoff,
    incoming,
    request: async (signal) =>
      create(ConnectRequestSchema, {
        cluster: options.cluster,
        executor: options.name ?? "",
        taskTypes: await taskTypesOf(options.plugins, signal),
        labels: { ...options.labels },
        slots: options.slots,
        clusterUid: options.clusterUid ?? "",
        queues: [...(options.queues ?? [])],
        kind: options.kind ?? "",
        version: options.version ?? "",
        ...(options.capacity ? { capacity: options.capacity } : {}),
      }),
  });

  for (const plugin of options.plugins) {
    plugin.learnsTaskTypes?.onChange(dial.again);
    plugin.lacksTaskTypes?.onChange(dial.again);
  }

  function answered(key: string, report: AttemptReport, verdict: "accepted" | "stale"): void {
    if (verdict === "accepted" && !report.released) return;
    if (verdict === "stale") reports.drop(key);
    incoming.over(key, report.epoch);
    attempts.settle(key, { kind: verdict === "stale" ? "lost" : "over", epoch: report.epoch });
  }

  async function sweep(): Promise<void> {
    const isHeld = async (key: string) => incoming.holds(key) || (await store.get(key)) !== undefined;
    for (const plugin of options.plugins) {
      try {
        await plugin.sweep?.(isHeld);
      } catch (error) {
        log.error({ err: error, taskTypes: plugin.taskTypes }, "leftovers of earlier leases could not be swept away");
      }
    }
  }

  /** Nothing, when the executor is stopped before the store knows what it holds. */
  async function listed(signal: AbortSignal) {
    try {
      return await store.list();
    } catch (error) {
      if (signal.aborted) return [];
      throw error;
    }
  }

  async function followStore(signal: AbortSignal): Promise<void> {
    // A durable store remembers attempts whose last report may never have arrived.
    for (const record of await listed(signal)) {
      attempts.reportAll(record);
      queue.add(record.key);
    }
    for await (const key of store.changes(signal)) queue.add(key);
  }

  return {
    async run(signal) {
      const reporting = new AbortController();
      const reported = reports.run(reporting.signal);
      const broken = new AbortController();
      const stop = AbortSignal.any([signal, broken.signal]);
      const parts = [queue.run(stop), incoming.run(stop), followStore(stop), dial.run(stop)];
      for (const part of [store, ...options.plugins]) if (part.run) parts.push(part.run(stop));
      try {
        await Promise.all(parts);
      } finally {
        // One part that breaks stops the others, so that nothing of this executor outlives its `run`.
        broken.abort();
        await Promise.allSettled(parts);
        // Steps that ended during the shutdown still get their report.
        reporting.abort();
        await reported;
      }
    },
  };
}
