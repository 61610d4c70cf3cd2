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
import { withCommit } from "../with-commit.ts";
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

export function keyOf(key: ActionKey): string {
  return `${key.runId}/${key.name}`;
}

export async function commitIntents(context: CommitContext, intents: readonly Intent[]): Promise<CommitEffects> {
  const { now } = context;
  const { work, below } = await lock(context, intents);
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

  const { changes, hint } = await apply(context, work, below, events);
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

/** Locks what the intents are about, and everything live below those that may end. */
async function lock(
  { sql, specs }: CommitContext,
  intents: readonly Intent[],
): Promise<{ work: Map<string, Working>; below: LockedItem[] }> {
  const keys = distinct(intents.map(({ key }) => key));
  const mayEnd = distinct(intents.filter(mayEndAction).map(({ key }) => key));
  // Sent one behind the other without waiting between: the rows are locked in this order.
  const [locked, actions, below] = await Promise.all([
    lockItems(sql, keys),
    lockActions(sql, keys),
    mayEnd.length > 0 ? lockDescendants(sql, mayEnd) : [],
  ]);
  const items = new Map(locked.map((item) => [keyOf(item), item]));
  const digests = actions.flatMap((action) => (action.specDigest ? [action.specDigest] : []));
  const known = await specs.load(sql, digests);
  const work = new Map(
    actions.map((action) => {
      const policy = action.specDigest ? requireSpec(known, action.specDigest).policy : noPolicy;
      return [keyOf(action), { action, item: items.get(keyOf(action)), policy }];
    }),
  );
  return { work, below };
}

function distinct(keys: readonly ActionKey[]): ActionKey[] {
  return [...new Map(keys.map((key) => [keyOf(key), key])).values()];
}

function mayEndAction(intent: Intent): boolean {
  return intent.kind !== "report" || intent.report.transitions.some(({ phase }) => isTerminal(phase));
}

/** Sends the moves and gives what the actions are after them. */
function write(sql: Sql, moved: readonly Working[]): ActionChange[] {
  if (moved.length === 0) return [];
  const moves = moved.map(({ action, move }): ActionMove => {
    const { runId, name, version, attempts, userFailures, systemFailures, phase } = action;
    const { outputUri, error, value, cacheStatus, startedAt } = action;
    const now = { runId, name, version, attempts, userFailures, systemFailures, phase };
    const kept = { outputUri, error, value, cacheStatus, startedAt };
    return { ...now, ...kept, signalledBy: "", abortReason: null, abortedBy: "", endedAt: null, ...move };
  });
  withCommit(moveActions(sql, moves));
  return moved.map(({ action, move }): ActionChange => {
    const { runId, name, parent, kind, phase, version, outputUri, error, value } = { ...action, ...move };
    return { runId, name, parent, kind, phase, version: version + 1, outputUri, error, value };
  });
}

/** What the decisions mean for the queue. */
interface QueuePlan {
  gone: ActionKey[];
  ending: ActionKey[];
  requeue: Requeue[];
  due: (ActionKey & { dueAt: Date | null })[];
  ended: Working[];
}

function planQueue(work: Iterable<Working>, now: Date): QueuePlan {
  const plan: QueuePlan = { gone: [], ending: [], requeue: [], due: [], ended: [] };
  for (const { action, item, policy, queue, move } of work) {
    if (!item || !queue) continue;
    const key = { runId: action.runId, name: action.name };
    if (queue.kind === "delete") plan.gone.push(key);
    if (queue.kind === "ending") plan.ending.push(key);
    if (queue.kind === "retry") {
      const at = new Date(now.getTime() + queue.delayMs);
      const times = { enqueuedAt: action.createdAt, queuedAt: at, running: false };
      plan.requeue.push({ ...key, delayMs: queue.delayMs, dueAt: dueAt(policy, times) ?? null });
    }
    if (queue.kind === "running" && policy.queuedTimeoutMs > 0) {
      const times = { enqueuedAt: action.createdAt, queuedAt: item.enqueuedAt, running: true };
      plan.due.push({ ...key, dueAt: dueAt(policy, times) ?? null });
    }
    if (move && isTerminal(move.phase ?? action.phase)) plan.ended.push({ action, item, policy, queue, move });
  }
  return plan;
}

/** Sends states, events and queue rows without waiting; what lives below ended actions ends with them. */
async function apply(
  { sql, now }: CommitContext,
  work: ReadonlyMap<string, Working>,
  lockedBelow: readonly LockedItem[],
  events: readonly ActionEventRow[],
): Promise<{ changes: ActionChange[]; hint: QueueHint }> {
  const { gone, ending, requeue, due, ended } = planQueue(work.values(), now);
  const changes = write(
    sql,
    [...work.values()].filter((working) => working.move),
  );
  if (events.length > 0) withCommit(insertEvents(sql, events));
  if (requeue.length > 0) withCommit(requeueItems(sql, requeue));
  if (due.length > 0) withCommit(setDue(sql, due));
  if (gone.length > 0) withCommit(deleteItems(sql, gone));
  if (ending.length > 0) withCommit(markEnding(sql, ending));
  const below = lockedBelow.length > 0 ? await liveBelow(sql, ended) : [];
  if (below.length > 0) changes.push(...(await abortBelow(sql, below, work, now)));
  const freed = await settleCache(sql, ended, changes, now);
  // A row that goes may free its own slot, or give its waiting parent's back: only rows with slots matter.
  const slotsMoved = [...work.values()].some(
    ({ queue, policy }) => queue && queue.kind !== "running" && policy.slots > 0,
  );
  const hint = {
    work: freed || slotsMoved || requeue.length > 0,
    retries: requeue.some(({ delayMs }) => delayMs > 0),
    endings: ending.length > 0 || below.length > 0,
  };
  return { changes, hint };
}

/**
 * All that lives below ended actions. A child may have been enqueued below a row while it was being locked; once the row
 * is locked none can, so looking again until nothing new is found finds all.
 */
async function liveBelow(sql: Sql, ended: readonly Working[]): Promise<LockedItem[]> {
  const roots = ended.map(({ action: { runId, name } }) => ({ runId, name }));
  if (roots.length === 0) return [];
  for (let found: LockedItem[] = []; ; ) {
    const again = await lockDescendants(sql, [...roots, ...found]);
    if (again.length === found.length) return again;
    found = again;
  }
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
    changes.push(...write(sql, moved));
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
