/** One group of intents in one transaction: lock, decide, write. No clock and no waiting in here. */
import { toBinary } from "@bufbuild/protobuf";
import { CatalogCacheStatus } from "@flyte-ts/contract/flyteidl2/core/catalog_pb.ts";
import { type AttemptReport, AttemptReportSchema } from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";
import { ActionPhase, dueAt, isTerminal } from "@flyte-ts/core";
import type { Sql } from "@flyte-ts/platform/postgres";
import { type CacheEntry, putEntries } from "../cache-service/index.ts";
import { noPolicy, requireSpec, type SpecCache } from "../queue-service/specs.ts";
import {
  deleteItems,
  ItemState,
  type LockedItem,
  lockCacheWaiters,
  lockDescendants,
  lockItems,
  makePending,
  markEnding,
  type Requeue,
  requeueItems,
  setDue,
} from "../queue-service/store.ts";
import type { QueueHint } from "./bus.ts";
import { decide, type Working } from "./decide.ts";
import type { Intent, IntentResult } from "./state-writer.ts";
import {
  type ActionChange,
  type ActionEventRow,
  type ActionKey,
  type ActionMove,
  abortActions,
  insertEvents,
  lockActions,
  moveActions,
} from "./store.ts";

export interface CommitContext {
  sql: Sql;
  specs: SpecCache;
  now: Date;
}

export interface CommitEffects {
  results: IntentResult[];
  changes: ActionChange[];
  hint: QueueHint;
  /** Actions whose reports told something that readers see without moving them. */
  reported: ActionKey[];
}

/** Thrown when a row changed between lock and write, which the locks rule out: the group is rolled back, nothing is half written. */
export class LostUpdateError extends Error {}

export function keyOf(key: ActionKey): string {
  return `${key.runId}/${key.name}`;
}

export async function commitIntents(context: CommitContext, intents: readonly Intent[]): Promise<CommitEffects> {
  const { sql, now } = context;
  const work = await lock(context, [...new Map(intents.map(({ key }) => [keyOf(key), key])).values()]);
  const events: ActionEventRow[] = [];
  const telling = new Map<string, ActionKey>();
  const results = intents.map((intent): IntentResult => {
    const working = work.get(keyOf(intent.key));
    if (!working) return intent.kind === "report" ? "stale" : "not-found";
    const result = decide(working, intent, now);
    if (intent.kind === "report" && result === "applied") {
      const report = toBinary(AttemptReportSchema, { ...intent.report, ref: undefined });
      events.push({ ...intent.key, report, cluster: intent.cluster });
      if (tells(intent.report)) telling.set(keyOf(intent.key), intent.key);
    }
    return result;
  });

  const moved = [...work.values()].filter((working) => working.move);
  const changes = await write(sql, moved);
  if (events.length > 0) await insertEvents(sql, events);
  const hint = await settleQueue(context, work, changes);
  const told = new Set(changes.map(keyOf));
  const reported = [...telling.values()].filter((key) => !told.has(keyOf(key)));
  return { results, changes, hint, reported };
}

/** True when an attempt looks different after the report; one that only gives a lease back tells nothing. */
function tells({
  transitions,
  error,
  logContext,
  logInfo,
  clusterEvents,
  logsAvailable,
  outputUri,
}: AttemptReport): boolean {
  const parts = [transitions, error, logContext, logInfo, clusterEvents, outputUri];
  return logsAvailable || parts.some(({ length }) => length > 0);
}

async function lock({ sql, specs }: CommitContext, keys: readonly ActionKey[]): Promise<Map<string, Working>> {
  const items = new Map((await lockItems(sql, keys)).map((item) => [keyOf(item), item]));
  const actions = await lockActions(sql, keys);
  const digests = actions.flatMap((action) => (action.specDigest ? [action.specDigest] : []));
  const known = await specs.load(sql, digests);
  return new Map(
    actions.map((action) => {
      const policy = action.specDigest ? requireSpec(known, action.specDigest).policy : noPolicy;
      return [keyOf(action), { action, item: items.get(keyOf(action)), policy }];
    }),
  );
}

async function write(sql: Sql, moved: readonly Working[]): Promise<ActionChange[]> {
  if (moved.length === 0) return [];
  const moves: ActionMove[] = moved.map(({ action, move }) => ({
    runId: action.runId,
    name: action.name,
    version: action.version,
    attempts: action.attempts,
    userFailures: action.userFailures,
    systemFailures: action.systemFailures,
    phase: action.phase,
    outputUri: action.outputUri,
    error: action.error,
    value: action.value,
    cacheStatus: action.cacheStatus,
    startedAt: action.startedAt,
    signalledBy: "",
    abortReason: null,
    abortedBy: "",
    endedAt: null,
    ...move,
  }));
  const changes = await moveActions(sql, moves);
  if (changes.length !== moves.length)
    throw new LostUpdateError(`${moves.length - changes.length} actions changed under their locks`);
  return changes;
}

/** Brings the queue in step with the new states, ends what lives below ended actions, and fills the cache. Adds to `changes`. */
async function settleQueue(
  { sql, now }: CommitContext,
  work: ReadonlyMap<string, Working>,
  changes: ActionChange[],
): Promise<QueueHint> {
  const gone: ActionKey[] = [];
  const ending: ActionKey[] = [];
  const requeue: Requeue[] = [];
  const due: (ActionKey & { dueAt: Date | null })[] = [];
  const ended: Working[] = [];
  for (const working of work.values()) {
    const { action, item, policy, queue } = working;
    if (!item || !queue) continue;
    const key = { runId: action.runId, name: action.name };
    if (queue.kind === "delete") gone.push(key);
    if (queue.kind === "ending") ending.push(key);
    if (queue.kind === "retry") {
      const at = new Date(now.getTime() + queue.delayMs);
      const times = { enqueuedAt: action.createdAt, queuedAt: at, running: false };
      requeue.push({ ...key, delayMs: queue.delayMs, dueAt: dueAt(policy, times) ?? null });
    }
    if (queue.kind === "running" && policy.queuedTimeoutMs > 0) {
      const times = { enqueuedAt: action.createdAt, queuedAt: item.enqueuedAt, running: true };
      due.push({ ...key, dueAt: dueAt(policy, times) ?? null });
    }
    if (working.move && isTerminal(working.move.phase ?? action.phase)) ended.push(working);
  }
  if (requeue.length > 0) await requeueItems(sql, requeue);
  if (due.length > 0) await setDue(sql, due);
  if (gone.length > 0) await deleteItems(sql, gone);
  if (ending.length > 0) await markEnding(sql, ending);

  const below =
    ended.length > 0
      ? await lockDescendants(
          sql,
          ended.map(({ action }) => action),
        )
      : [];
  if (below.length > 0) changes.push(...(await abortBelow(sql, below, work, now)));
  const freed = await settleCache(sql, ended, changes, now);
  // A row that goes may free its own slot, or give its waiting parent's back: only rows with slots matter.
  const slotsMoved = [...work.values()].some(
    ({ queue, policy }) => queue && queue.kind !== "running" && policy.slots > 0,
  );
  return {
    work: freed || slotsMoved || requeue.length > 0,
    retries: requeue.some(({ delayMs }) => delayMs > 0),
    endings: ending.length > 0 || below.length > 0,
  };
}

async function abortBelow(
  sql: Sql,
  below: readonly LockedItem[],
  work: ReadonlyMap<string, Working>,
  now: Date,
): Promise<ActionChange[]> {
  const reasons = new Map([...work.values()].map(({ action, move }) => [action.runId, move?.abortReason]));
  const changes: ActionChange[] = [];
  for (const [runId, items] of Map.groupBy(below, (item) => item.runId)) {
    const reason = reasons.get(runId) ?? "its parent action ended";
    changes.push(...(await abortActions(sql, items, { reason, by: "", at: now })));
  }
  const leased = below.filter((item) => item.state === ItemState.leased);
  const others = below.filter((item) => item.state !== ItemState.leased);
  if (leased.length > 0) await markEnding(sql, leased);
  if (others.length > 0) await deleteItems(sql, others);
  return changes;
}

/** Stores results that others may reuse, and gives those that waited for one their result, or the turn to compute it. */
async function settleCache(sql: Sql, ended: readonly Working[], changes: ActionChange[], now: Date): Promise<boolean> {
  const cached = ended.filter(
    ({ action }) => action.cacheKey !== "" && action.cacheStatus !== CatalogCacheStatus.CACHE_HIT,
  );
  if (cached.length === 0) return false;
  const entries: CacheEntry[] = cached
    .filter(({ move }) => move?.phase === ActionPhase.SUCCEEDED && move.outputUri)
    .map(({ action, move }) => ({
      key: action.cacheKey,
      outputUri: move?.outputUri ?? "",
      sourceRun: action.runId,
      sourceAction: action.name,
      sourceAttempt: action.attempts,
    }));
  if (entries.length > 0) await putEntries(sql, entries);

  const serialized = cached.flatMap(({ item }) => (item?.cacheKey ? [item.cacheKey] : []));
  if (serialized.length === 0) return false;
  const waiters = await lockCacheWaiters(sql, serialized);
  if (waiters.length === 0) return false;
  const hits = waiters.flatMap((item) => {
    const entry = entries.find(({ key }) => key === item.cacheKey);
    return entry ? [{ item, entry }] : [];
  });
  if (hits.length > 0) {
    const rows = new Map(
      (
        await lockActions(
          sql,
          hits.map(({ item }) => item),
        )
      ).map((row) => [keyOf(row), row]),
    );
    const moved = hits.flatMap(({ item, entry }): Working[] => {
      const action = rows.get(keyOf(item));
      if (!action) return [];
      const hit = {
        phase: ActionPhase.SUCCEEDED,
        outputUri: entry.outputUri,
        cacheStatus: CatalogCacheStatus.CACHE_HIT,
      };
      return [{ action, item, policy: noPolicy, move: { ...hit, endedAt: now } }];
    });
    changes.push(...(await write(sql, moved)));
    await deleteItems(
      sql,
      hits.map(({ item }) => item),
    );
  }
  const next = new Map<string, LockedItem>();
  for (const item of waiters) {
    if (item.cacheKey && !hits.some((hit) => hit.item === item) && !next.has(item.cacheKey))
      next.set(item.cacheKey, item);
  }
  if (next.size > 0) await makePending(sql, [...next.values()]);
  return true;
}
