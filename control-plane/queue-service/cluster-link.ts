/**
 * The control plane's end of the cluster link. One connection of an executor gets all that its cluster holds, then what
 * admission gives it, then aborts, as they come. Woken by commits of this replica, by notifications of others, by the
 * next delayed retry, and by nothing else while idle.
 */
import { create } from "@bufbuild/protobuf";
import {
  type AbortOrder,
  AbortOrderSchema,
  type ActionRef,
  ActionRefSchema,
  type ConnectRequest,
  type ConnectResponse,
  ConnectResponseSchema,
  type LeasedAction,
  LeasedActionSchema,
  type ReportRequest,
  type ReportResponse,
  ReportResponseSchema,
  ReportVerdict,
} from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";
import { invalidArgument, toTimestamp } from "@flyte-ts/core";
import type { Database } from "@flyte-ts/platform/postgres";
import type { KnownRun, RunCache } from "../run-service/run-cache.ts";
import { type ChangeBus, fullHint, noHint, type QueueHint } from "../state-service/bus.ts";
import type { StateWriter } from "../state-service/state-writer.ts";
import { type Admission, endingItems, heldItems, type LeasedItem, leaseItems } from "./lease-store.ts";
import { requireSpec, type SpecCache } from "./specs.ts";
import { ItemState, nextTimes } from "./store.ts";

export interface ClusterLink {
  connect(request: ConnectRequest, signal: AbortSignal): AsyncGenerator<ConnectResponse>;
  report(request: ReportRequest): Promise<ReportResponse>;
}

export interface ClusterLinkOptions {
  database: Database;
  bus: ChangeBus;
  specs: SpecCache;
  runs: RunCache;
  writer: StateWriter;
  /** Most actions leased by one statement. */
  batch?: number;
}

/** Another replica may have been lost with a notification in its hands: look by oneself now and then. */
const RECHECK_MS = 15_000;

export function clusterLink(options: ClusterLinkOptions): ClusterLink {
  const { database, bus, specs, runs, writer, batch = 256 } = options;

  async function describe(items: readonly LeasedItem[]): Promise<LeasedAction[]> {
    if (items.length === 0) return [];
    const known = await runs.byId(database, [...new Set(items.map((item) => item.runId))]);
    const digests = items.flatMap(({ specDigest }) => (specDigest ? [specDigest] : []));
    const loaded = await specs.load(database, digests);
    return items.flatMap((item) => {
      const run = known.get(item.runId);
      return run && item.specDigest ? [leasedAction(item, run, requireSpec(loaded, item.specDigest).bytes)] : [];
    });
  }

  async function abortOrders(items: readonly LeasedItem[]): Promise<AbortOrder[]> {
    const known = await runs.byId(database, [...new Set(items.map((item) => item.runId))]);
    return items.flatMap((item) => {
      const run = known.get(item.runId);
      return run
        ? [create(AbortOrderSchema, { ref: refOf(run, item.name), epoch: item.epoch, attempt: item.attempt })]
        : [];
    });
  }

  return {
    async *connect(request, signal) {
      if (request.cluster === "") throw invalidArgument("the executor names no cluster; give it one");
      const admission: Admission = {
        cluster: request.cluster,
        accelerators: ["", ...(request.labels.accelerators?.split(",") ?? [])],
        taskTypes: request.taskTypes.includes("*") ? undefined : request.taskTypes,
      };
      const bell = doorbell(signal);
      const unsubscribe = bus.onQueue(bell.ring);
      try {
        const held = await heldItems(database, request.cluster);
        const ordered = new Set<string>();
        const over = held.filter((item) => item.state === ItemState.ending);
        for (const item of over) ordered.add(orderKey(item));
        yield create(ConnectResponseSchema, {
          leased: await describe(held.filter((item) => item.state === ItemState.leased)),
          aborts: await abortOrders(over),
          synced: true,
        });
        while (!signal.aborted) {
          const hint = bell.answer();
          const items = hint.work ? await leaseItems(database, admission, request.slots, batch) : [];
          const ending = hint.endings ? await endingItems(database, request.cluster) : [];
          const news = ending.filter((item) => !ordered.has(orderKey(item)));
          if (items.length > 0 || news.length > 0) {
            for (const item of news) ordered.add(orderKey(item));
            yield create(ConnectResponseSchema, { leased: await describe(items), aborts: await abortOrders(news) });
          }
          if (ordered.size > 10_000) await forgetGone(ordered, request.cluster);
          if (items.length >= batch) bell.ring({ work: true, retries: false, endings: false });
          if (hint.retries) bell.ringIn((await nextTimes(database)).retryInMs);
          await bell.wait();
        }
      } finally {
        unsubscribe();
        bell.close();
      }
    },
    async report({ cluster, reports }) {
      const verdicts = await Promise.all(
        reports.map(async (report) => {
          if (!report.ref) throw invalidArgument("a report names no action");
          const key = { runId: report.ref.runKey, name: report.ref.name };
          const result = await writer.submit({ kind: "report", key, cluster, report });
          return result === "stale" || result === "not-found" ? ReportVerdict.STALE : ReportVerdict.ACCEPTED;
        }),
      );
      return create(ReportResponseSchema, { verdicts });
    },
  };

  async function forgetGone(ordered: Set<string>, cluster: string): Promise<void> {
    const present = new Set((await endingItems(database, cluster)).map(orderKey));
    for (const key of ordered) if (!present.has(key)) ordered.delete(key);
  }
}

function orderKey(item: LeasedItem): string {
  return `${item.runId}/${item.name}/${item.epoch}`;
}

function refOf(run: KnownRun, name: string): ActionRef {
  return create(ActionRefSchema, { project: run.project, domain: run.domain, run: run.name, name, runKey: run.id });
}

function leasedAction(item: LeasedItem, run: KnownRun, taskSpec: Uint8Array): LeasedAction {
  return create(LeasedActionSchema, {
    ref: refOf(run, item.name),
    epoch: item.epoch,
    attempt: item.attempt,
    parent: item.parent ?? "",
    taskType: item.taskType,
    taskSpec,
    inputUri: item.inputUri,
    runOutputBase: item.runOutputBase,
    envs: run.envs,
    labels: run.labels,
    annotations: run.annotations,
    runStartTime: toTimestamp(run.startTime),
    rawDataPrefix: run.rawDataPrefix,
    group: item.groupName,
    enqueuedAt: toTimestamp(item.createdAt),
    ...(item.startedAt && { startedAt: toTimestamp(item.startedAt) }),
  });
}

/** Rung by anybody at any time; what rings during the work is answered in the next round. */
function doorbell(signal: AbortSignal) {
  let rung = fullHint;
  let wake: (() => void) | undefined;
  let later: NodeJS.Timeout | undefined;
  const ring = (hint: QueueHint) => {
    rung = {
      work: rung.work || hint.work,
      retries: rung.retries || hint.retries,
      endings: rung.endings || hint.endings,
    };
    wake?.();
  };
  const recheck = setInterval(() => ring(fullHint), RECHECK_MS);
  const stop = () => wake?.();
  signal.addEventListener("abort", stop);
  return {
    ring,
    /** Rings when the next delayed retry becomes pending. */
    ringIn(ms: number | null) {
      clearTimeout(later);
      if (ms !== null) later = setTimeout(() => ring({ work: true, retries: true, endings: false }), Math.max(ms, 1));
    },
    answer(): QueueHint {
      const hint = rung;
      rung = noHint;
      return hint;
    },
    async wait(): Promise<void> {
      if (rung.work || rung.retries || rung.endings || signal.aborted) return;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
      wake = undefined;
    },
    close() {
      clearInterval(recheck);
      clearTimeout(later);
      signal.removeEventListener("abort", stop);
    },
  };
}
