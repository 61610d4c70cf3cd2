/** One group of intents in one transaction: lock, decide, write. No clock and no waiting in here. */
import { toBinary } from "@bufbuild/protobuf";
import { type AttemptReport, AttemptReportSchema } from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";
import { dueAt, isTerminal } from "@flyte-ts/core";
import type { Sql } from "@flyte-ts/platform/postgres";
import { noPolicy, requireSpec, type SpecCache } from "../queue-service/specs.ts";
import {
  deleteItems,
  ItemState,
  type LockedItem,
  lockDescendants,
  lockItems,
  markEnding,
  type Requeue,
  requeueItems,
  setDue,
} from "../queue-service/store.ts";
import { withCommit } from "../with-commit.ts";
import { noHint, type QueueHint } from "./bus.ts";
import { decide, type Working } from "./decide.ts";
import { settleCache } from "./settle-cache.ts";
import type { Intent, IntentResult } from "./state-writer.ts";
import {
  type ActionChange,
  type ActionEventRow,
  type ActionKey,
  abortActions,
  insertEvents,
  lockActions,
} from "./store.ts";
import { writeMoves } from "./write-moves.ts";

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
  const changes = writeMoves(
    sql,
    [...work.values()].filter((working) => working.move),
  );
  if (events.length > 0) withCommit(insertEvents(sql, events));
  if (requeue.length > 0) withCommit(requeueItems(sql, requeue));
  if (due.length > 0) withCommit(setDue(sql, due));
  if (gone.length > 0) withCommit(deleteItems(sql, gone));
  if (ending.length > 0) withCommit(markEnding(sql, ending));
  const below = lockedBelow.length > 0 ? await liveBelow(sql, ended) : [];
  if (below.length > 0) changes.push(...(await abortBelow(sql, below, ended, now)));
  const { hits, freed } = await settleCache(sql, ended, below, now);
  changes.push(...hits);
  // A row that goes may free its own slot, or give its waiting parent's back: only rows with slots matter.
  const slotsMoved = [...work.values()].some(
    ({ queue, policy }) => queue && queue.kind !== "running" && policy.slots > 0,
  );
  // A lease passes by rows that are locked: what we held while it was pending must be looked at again.
  const held = [...work.values()].flatMap(({ item }) => item ?? []).concat(lockedBelow);
  const passedBy = held.some(({ state }) => state === ItemState.pending);
  const hint = {
    ...noHint,
    work: freed || slotsMoved || requeue.length > 0 || passedBy,
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
  ended: readonly Working[],
  now: Date,
): Promise<ActionChange[]> {
  const tops = new Map(ended.map((working) => [keyOf(working.action), working]));
  const between = new Map(below.map((item) => [keyOf(item), item]));
  /** The nearest ended action above: a descendant shares its reason. */
  function topOf(item: LockedItem): Working | undefined {
    for (let at: LockedItem | undefined = item; at?.parent; ) {
      const key: string = keyOf({ runId: at.runId, name: at.parent });
      const top = tops.get(key);
      if (top) return top;
      at = between.get(key);
    }
    return undefined;
  }
  const changes: ActionChange[] = [];
  for (const [top, items] of Map.groupBy(below, topOf)) {
    const reason = top?.move?.abortReason ?? "its parent action ended";
    changes.push(...(await abortActions(sql, items, { reason, by: top?.move?.abortedBy ?? "", at: now })));
  }
  const leased = below.filter((item) => item.state === ItemState.leased);
  const others = below.filter((item) => item.state !== ItemState.leased);
  if (leased.length > 0) await markEnding(sql, leased);
  if (others.length > 0) await deleteItems(sql, others);
  return changes;
}
