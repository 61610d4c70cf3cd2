/**
 * The one door for work: roots and children, tasks, traces and conditions. Items are committed in groups; each is
 * idempotent by (run, action name), so clients may repeat an enqueue for ever.
 */
import {
  type AppError,
  aborted,
  alreadyExists,
  type Clock,
  type GroupCommit,
  groupCommit,
  notFound,
  type Outcome,
  type RouteClass,
  systemClock,
} from "@flyte-ts/core";
import type { Database, Sql } from "@flyte-ts/platform/postgres";
import { entryKey, findEntries, isFresh, lockKeys } from "../cache-service/index.ts";
import { mayBeOneItemsFault, retryingTransaction } from "../retrying-transaction.ts";
import { type KnownRun, type RunCache, runKey } from "../run-service/run-cache.ts";
import { insertRuns, type NewRun, type RunName } from "../run-service/store.ts";
import { type ChangeBus, noHint, type QueueHint } from "../state-service/bus.ts";
import { type ActionChange, insertActions, readActions } from "../state-service/store.ts";
import { withCommit } from "../with-commit.ts";
import type { ConnectedClusters } from "./connected-clusters.ts";
import { type Admitted, type CacheVerdict, newRows, type WireAction } from "./new-action.ts";
import { routeClasses } from "./route-classes.ts";
import type { KnownSpec, SpecCache } from "./specs.ts";
import {
  cacheHolders,
  ItemState,
  insertItems,
  lockCacheWaiters,
  type NewItem,
  promoteCacheWaiters,
  shareLiveParents,
} from "./store.ts";

export interface EnqueueItem {
  /** An existing run by name, or a run that begins with this action. */
  run: { kind: "existing"; name: RunName } | { kind: "new"; run: NewRun };
  action: WireAction;
}

export interface Enqueued {
  run: KnownRun;
  /** False when the action was there already. */
  created: boolean;
}

export interface Enqueue {
  submit(item: EnqueueItem): Promise<Enqueued>;
  drained(): Promise<void>;
}

export interface EnqueueOptions {
  database: Database;
  bus: ChangeBus;
  specs: SpecCache;
  runs: RunCache;
  /** Those that an enqueue may lease to at once. */
  clusters: ConnectedClusters;
  clock?: Clock;
  batch?: number;
}

const enqueued: QueueHint = { ...noHint, work: true };

/** A group on its way: what was asked, and the answers to come. */
interface Sent {
  known: ReadonlyMap<EnqueueItem, KnownRun>;
  admitted: ReadonlyMap<string, Admitted>;
  live: Promise<ReadonlySet<string>>;
  changes: Promise<ActionChange[]>;
  newSpecs: KnownSpec[];
  newClasses: readonly RouteClass[];
  lease: ReturnType<ConnectedClusters["lease"]>;
  /** Rows of this group that stay pending unless the lease took them. */
  pending: number;
}

export function enqueue(options: EnqueueOptions): Enqueue {
  const { database, bus, specs, runs, clusters, clock = systemClock, batch = 256 } = options;
  const { registry } = clusters;
  const classOf = routeClasses();

  async function commit(items: readonly EnqueueItem[]): Promise<readonly Outcome<Enqueued>[]> {
    const sent = await retryingTransaction(database, (sql) => send(sql, items));
    specs.remember(sent.newSpecs);
    registry.remember(sent.newClasses);
    const changes = await sent.changes;
    const leased = (await sent.lease?.lease)?.items ?? [];
    sent.lease?.deliver(leased);
    // Unless the group's rows are all leased: also when nothing was new, since a lease passes by the rows that we held.
    const allLeased = sent.pending > 0 && leased.length >= sent.pending && leased.length < batch;
    bus.publish(changes, allLeased ? noHint : enqueued);
    return outcomes(items, sent, changes, await sent.live);
  }

  /** Sends all statements of a group without waiting for any, unless it makes new runs or asks the cache. */
  async function send(sql: Sql, items: readonly EnqueueItem[]): Promise<Sent> {
    const known = await resolveRuns(sql, items);
    const live = holdParents(sql, items, known);
    const newSpecs = new Map<string, KnownSpec>();
    const admitted = new Map<string, Admitted>();
    for (const item of items) {
      const run = known.get(item);
      if (!run) continue;
      const task = item.action.task && specs.fromWire(item.action.task.spec);
      if (task && !task.stored) newSpecs.set(task.spec.digest.toString("base64"), task.spec);
      // A repeated enqueue in one group is written once.
      const key = actionKey(run, item);
      const route = task && classOf(task.spec, run, item.action.task?.queue ?? "");
      if (!admitted.has(key)) admitted.set(key, { item, run, spec: task?.spec, route });
    }
    const fresh = [...admitted.values()];
    withCommit(specs.store(sql, [...newSpecs.values()]));
    const newClasses = registry.store(
      sql,
      fresh.flatMap(({ route }) => route ?? []),
    );
    const now = clock.now();
    const rows = newRows(fresh, await cacheVerdicts(sql, fresh, now), now);
    const changes = rows.actions.length > 0 ? insertActions(sql, rows.actions) : Promise.resolve([]);
    withCommit(changes);
    if (rows.items.length > 0) withCommit(insertItems(sql, rows.items));
    // The holder of a place in line may not have been written after all: it existed, or its parent is over.
    const lines = rows.items.flatMap(({ state, cacheKey }) =>
      state === ItemState.waitsForCache && cacheKey ? [cacheKey] : [],
    );
    if (lines.length > 0) {
      withCommit(lockCacheWaiters(sql, lines));
      withCommit(promoteCacheWaiters(sql, lines));
    }
    const atOnce = slotlessClasses(fresh, rows.items);
    const lease = atOnce.length > 0 ? clusters.lease(sql, atOnce, batch) : undefined;
    if (lease) withCommit(lease.lease);
    // A class that this replica does not know may be unknown to the others too.
    const hint = newClasses.length > 0 ? { ...enqueued, routes: true } : enqueued;
    if (rows.actions.length > 0) withCommit(bus.notify(sql, rows.actions, hint));
    const pending = rows.items.length;
    return { known, admitted, live, changes, newSpecs: [...newSpecs.values()], newClasses, lease, pending };
  }

  async function outcomes(
    items: readonly EnqueueItem[],
    { known, admitted }: Sent,
    changes: readonly ActionChange[],
    live: ReadonlySet<string>,
  ): Promise<Outcome<Enqueued>[]> {
    const written = new Set(changes.map((change) => `${change.runId}/${change.name}`));
    const orphans = items.flatMap((item): { runId: bigint; name: string }[] => {
      const run = known.get(item);
      const { parent } = item.action;
      return run && parent && !live.has(`${run.id}/${parent}`) ? [{ runId: run.id, name: parent }] : [];
    });
    const over = new Set<string>();
    // The group is committed: when this cannot be read, only those it is about may hear so.
    let unread: unknown;
    try {
      for (const { runId, name } of orphans.length > 0 ? await readActions(database, orphans) : []) {
        over.add(`${runId}/${name}`);
      }
    } catch (error) {
      unread = error;
    }
    return items.map((item): Outcome<Enqueued> => {
      const run = known.get(item);
      if (!run) return { ok: false, error: runRefusal(item) };
      const { parent } = item.action;
      const parentKey = `${run.id}/${parent}`;
      if (parent && !live.has(parentKey))
        return { ok: false, error: unread ?? parentRefusal(run, item.action, over.has(parentKey)) };
      const key = actionKey(run, item);
      return { ok: true, value: { run, created: written.has(key) && admitted.get(key)?.item === item } };
    });
  }

  async function resolveRuns(sql: Sql, items: readonly EnqueueItem[]): Promise<Map<EnqueueItem, KnownRun>> {
    const result = new Map<EnqueueItem, KnownRun>();
    const fresh = new Map<string, EnqueueItem>();
    const names: RunName[] = [];
    for (const item of items) {
      if (item.run.kind === "existing") names.push(item.run.name);
      // Of two new runs with one name in a group the first wins, as it would in two groups.
      else if (!fresh.has(runKey(item.run.run))) fresh.set(runKey(item.run.run), item);
    }
    // Before new runs are written: what is read here is remembered, and those may still be rolled back.
    if (names.length > 0) {
      const found = await runs.byName(sql, names);
      for (const item of items) {
        const run = item.run.kind === "existing" ? found.get(runKey(item.run.name)) : undefined;
        if (run) result.set(item, run);
      }
    }
    if (fresh.size > 0) {
      const wanted = [...fresh.values()].flatMap(({ run }) => (run.kind === "new" ? [run.run] : []));
      for (const row of await insertRuns(sql, wanted)) {
        const item = fresh.get(runKey(row));
        if (item) result.set(item, runs.describe(row));
      }
    }
    return result;
  }

  const commits: GroupCommit<EnqueueItem, Enqueued> = groupCommit({
    commit,
    maxItems: batch,
    blames: mayBeOneItemsFault,
  });
  return { submit: (item) => commits.submit(item), drained: () => commits.drained() };
}

/** Classes of new rows that may be leased at once, each once. */
function slotlessClasses(admitted: readonly Admitted[], items: readonly NewItem[]): RouteClass[] {
  const wanted = new Set<bigint>();
  for (const { state, slots, routeClass } of items) {
    if (state === ItemState.pending && slots === 0) wanted.add(routeClass);
  }
  if (wanted.size === 0) return [];
  const classes = new Map<bigint, RouteClass>();
  for (const { route } of admitted) if (route && wanted.has(route.id)) classes.set(route.id, route);
  return [...classes.values()];
}

function runRefusal({ run }: EnqueueItem): AppError {
  if (run.kind === "new") {
    return alreadyExists(`run ${run.run.name} exists in ${run.run.project}/${run.run.domain}; choose another name`);
  }
  return notFound(`run ${run.name.name} does not exist in ${run.name.project}/${run.name.domain}`);
}

function actionKey(run: KnownRun, item: EnqueueItem): string {
  return `${run.id}/${item.action.name}`;
}

/** Keeps the live parents of the group from ending until it is committed; gives which they are. */
function holdParents(
  sql: Sql,
  items: readonly EnqueueItem[],
  known: ReadonlyMap<EnqueueItem, KnownRun>,
): Promise<ReadonlySet<string>> {
  const parents = new Map<string, { runId: bigint; name: string }>();
  for (const item of items) {
    const run = known.get(item);
    const { parent } = item.action;
    if (run && parent) parents.set(`${run.id}/${parent}`, { runId: run.id, name: parent });
  }
  if (parents.size === 0) return Promise.resolve(new Set());
  const live = shareLiveParents(sql, [...parents.values()]).then(
    (rows) => new Set(rows.map((key) => `${key.runId}/${key.name}`)),
  );
  withCommit(live);
  return live;
}

function parentRefusal(run: KnownRun, action: WireAction, isOver: boolean): AppError {
  return isOver
    ? aborted(`action ${action.parent} of run ${run.name} is over; it can have no new children`)
    : notFound(`run ${run.name} has no action ${action.parent} that could be the parent of ${action.name}`);
}

/** For each cached task of the group: an earlier result, a place in line behind the one who computes it, or a miss. */
async function cacheVerdicts(sql: Sql, admitted: readonly Admitted[], now: Date): Promise<Map<Admitted, CacheVerdict>> {
  const verdicts = new Map<Admitted, CacheVerdict>();
  const asked = admitted.flatMap((one) => {
    const task = one.item.action.task;
    if (!task?.cacheKey || !one.spec?.policy.cache) return [];
    return [{ one, key: entryKey(one.run, task.id.name, task.cacheKey), cache: one.spec.policy.cache }];
  });
  if (asked.length === 0) return verdicts;
  const serialized = asked.flatMap(({ key, cache }) => (cache.serialize ? [key] : []));
  if (serialized.length > 0) await lockKeys(sql, [...new Set(serialized)]);
  const entries = new Map((await findEntries(sql, [...new Set(asked.map(({ key }) => key))])).map((e) => [e.key, e]));
  const holders = new Set(serialized.length > 0 ? await cacheHolders(sql, serialized) : []);
  for (const { one, key, cache } of asked) {
    const entry = entries.get(key);
    if (entry && !one.run.overwriteCache && isFresh(entry.createdAt, cache.maxAgeMs, now)) {
      verdicts.set(one, { kind: "hit", key, outputUri: entry.outputUri });
      continue;
    }
    verdicts.set(one, { kind: cache.serialize && holders.has(key) ? "wait" : "miss", key, serialize: cache.serialize });
    if (cache.serialize) holders.add(key);
  }
  return verdicts;
}
