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
import type { StateWriter } from "../state-service/index.ts";
import { type ConnectedClusters, connectedClusters } from "./connected-clusters.ts";
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
  /** Where connections are known to those who enqueue. */
  clusters?: ConnectedClusters;
  /** Most actions leased by one statement. */
  batch?: number;
  /** How often a connection compares what it was sent with what the cluster holds; 15 s unless told. */
  recheckMs?: number;
}

export function clusterLink(options: ClusterLinkOptions): ClusterLink {
  const {
    database,
    bus,
    specs,
    runs,
    writer,
    clusters = connectedClusters(),
    batch = 256,
    recheckMs = 15_000,
  } = options;

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
      if (!run) return [];
      const { name, epoch, attempt, abortReason } = item;
      return [create(AbortOrderSchema, { ref: refOf(run, name), epoch, attempt, reason: abortReason ?? "" })];
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
      const bell = doorbell(signal, recheckMs);
      const unsubscribe = bus.onQueue(bell.ring);
      const told = toldItems();
      let inbox: LeasedItem[] = [];
      let leave = () => {};
      try {
        const held = told.compare(await heldItems(database, request.cluster));
        yield create(ConnectResponseSchema, {
          leased: await describe(held.leased),
          aborts: await abortOrders(held.ending),
          synced: true,
        });
        leave = clusters.add({
          admission,
          deliver(items) {
            inbox.push(...items);
            bell.ring(noHint);
          },
        });
        while (!signal.aborted) {
          const { hint, recheck } = bell.answer();
          const items = hint.work ? await leaseItems(database, admission, request.slots, batch) : [];
          const delivered = inbox;
          inbox = [];
          told.add(items);
          told.add(delivered);
          const ending = hint.endings && !recheck ? told.add(await endingItems(database, request.cluster)) : [];
          const held = recheck ? told.compare(await heldItems(database, request.cluster)) : { leased: [], ending };
          const leased = [...delivered, ...items, ...held.leased];
          if (leased.length > 0 || held.ending.length > 0) {
            const aborts = await abortOrders(held.ending);
            yield create(ConnectResponseSchema, { leased: await describe(leased), aborts });
          }
          if (items.length >= batch) bell.ring({ work: true, retries: false, endings: false });
          if (hint.retries) bell.ringIn((await nextTimes(database)).retryInMs);
          await bell.wait(() => inbox.length > 0);
        }
      } finally {
        leave();
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
}

/**
 * What one connection was told of its cluster's rows. A row may have been leased by an earlier connection that was dead
 * already, so what is held is compared with this now and then.
 */
function toldItems() {
  const keyOf = ({ state, runId, name, epoch }: LeasedItem) => `${state}/${runId}/${name}/${epoch}`;
  let told = new Set<string>();
  /** Gives those that were news. */
  function add(items: readonly LeasedItem[]): LeasedItem[] {
    const news = items.filter((item) => !told.has(keyOf(item)));
    for (const item of news) told.add(keyOf(item));
    return news;
  }
  return {
    add,
    /** Takes all that is held: gives what was not told, and forgets what is gone. */
    compare(held: readonly LeasedItem[]): { leased: LeasedItem[]; ending: LeasedItem[] } {
      const news = add(held);
      told = new Set(held.map(keyOf));
      return {
        leased: news.filter(({ state }) => state === ItemState.leased),
        ending: news.filter(({ state }) => state === ItemState.ending),
      };
    },
  };
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
function doorbell(signal: AbortSignal, recheckMs: number) {
  let rung = fullHint;
  let recheck = false;
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
  // Another replica may have been lost with a notification in its hands: look by oneself now and then.
  const rechecks = setInterval(() => {
    recheck = true;
    ring(fullHint);
  }, recheckMs);
  const stop = () => wake?.();
  signal.addEventListener("abort", stop);
  return {
    ring,
    /** Rings when the next delayed retry becomes pending. */
    ringIn(ms: number | null) {
      clearTimeout(later);
      if (ms !== null) later = setTimeout(() => ring({ work: true, retries: true, endings: false }), Math.max(ms, 1));
    },
    answer(): { hint: QueueHint; recheck: boolean } {
      const answer = { hint: rung, recheck };
      rung = noHint;
      recheck = false;
      return answer;
    },
    async wait(isDue: () => boolean): Promise<void> {
      if (isDue() || rung.work || rung.retries || rung.endings || signal.aborted) return;
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
      wake = undefined;
    },
    close() {
      clearInterval(rechecks);
      clearTimeout(later);
      signal.removeEventListener("abort", stop);
    },
  };
}
