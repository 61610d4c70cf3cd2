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
  systemClock,
} from "@flyte-ts/core";
import type { Database, Sql } from "@flyte-ts/platform/postgres";
import { entryKey, findEntries, isFresh, lockKeys } from "../cache-service/index.ts";
import { type KnownRun, type RunCache, runKey } from "../run-service/run-cache.ts";
import { insertRuns, type NewRun, type RunName } from "../run-service/store.ts";
import type { ChangeBus } from "../state-service/bus.ts";
import { type ActionChange, insertActions, readActions } from "../state-service/store.ts";
import { type Admitted, type CacheVerdict, newRows, type WireAction } from "./new-action.ts";
import type { KnownSpec, SpecCache } from "./specs.ts";
import { cacheHolders, insertItems, shareLiveParents } from "./store.ts";

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
  clock?: Clock;
  batch?: number;
}

const enqueued = { work: true, retries: false, endings: false };

interface Group {
  changes: ActionChange[];
  newSpecs: KnownSpec[];
  outcomes: Outcome<Enqueued>[];
}

export function enqueue(options: EnqueueOptions): Enqueue {
  const { database, bus, specs, runs, clock = systemClock, batch = 256 } = options;

  async function commit(items: readonly EnqueueItem[]): Promise<readonly Outcome<Enqueued>[]> {
    const group = await database.transaction(async (sql) => {
      const done = await writeGroup(sql, items);
      if (done.changes.length > 0) await bus.notify(sql, done.changes, enqueued);
      return done;
    });
    specs.remember(group.newSpecs);
    if (group.changes.length > 0) bus.publish(group.changes, enqueued);
    return group.outcomes;
  }

  async function writeGroup(sql: Sql, items: readonly EnqueueItem[]): Promise<Group> {
    const known = await resolveRuns(sql, items);
    const live = await liveParents(sql, items, known);
    const newSpecs = new Map<string, KnownSpec>();
    const failures = new Map<EnqueueItem, AppError>();
    const admitted = new Map<string, Admitted>();
    for (const item of items) {
      const run = known.get(item);
      const refusal = run ? live.refuse(run, item.action) : runRefusal(item);
      if (!run || refusal) {
        failures.set(item, refusal ?? runRefusal(item));
        continue;
      }
      const task = item.action.task && specs.fromWire(item.action.task.spec);
      if (task && !task.stored) newSpecs.set(task.spec.digest.toString("base64"), task.spec);
      // A repeated enqueue in one group is written once.
      const key = `${run.id}/${item.action.name}`;
      if (!admitted.has(key)) admitted.set(key, { item, run, spec: task?.spec });
    }
    await specs.store(sql, [...newSpecs.values()]);
    const fresh = [...admitted.values()];
    const verdicts = await cacheVerdicts(sql, fresh, clock.now());
    const rows = newRows(fresh, verdicts, clock.now());
    const changes = rows.actions.length > 0 ? await insertActions(sql, rows.actions) : [];
    const written = new Set(changes.map((change) => `${change.runId}/${change.name}`));
    const queued = rows.items.filter((row) => written.has(`${row.runId}/${row.name}`));
    if (queued.length > 0) await insertItems(sql, queued);

    const outcomes = items.map((item): Outcome<Enqueued> => {
      const failure = failures.get(item);
      const run = known.get(item);
      if (failure || !run) return { ok: false, error: failure ?? runRefusal(item) };
      const key = `${run.id}/${item.action.name}`;
      return { ok: true, value: { run, created: written.has(key) && admitted.get(key)?.item === item } };
    });
    return { changes, newSpecs: [...newSpecs.values()], outcomes };
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
    if (fresh.size > 0) {
      const wanted = [...fresh.values()].flatMap(({ run }) => (run.kind === "new" ? [run.run] : []));
      for (const row of await insertRuns(sql, wanted)) {
        const item = fresh.get(runKey(row));
        if (item) result.set(item, runs.describe(row));
      }
    }
    if (names.length > 0) {
      const found = await runs.byName(sql, names);
      for (const item of items) {
        const run = item.run.kind === "existing" ? found.get(runKey(item.run.name)) : undefined;
        if (run) result.set(item, run);
      }
    }
    return result;
  }

  const commits: GroupCommit<EnqueueItem, Enqueued> = groupCommit({ commit, maxItems: batch });
  return { submit: (item) => commits.submit(item), drained: () => commits.drained() };
}

function runRefusal({ run }: EnqueueItem): AppError {
  if (run.kind === "new") {
    return alreadyExists(`run ${run.run.name} exists in ${run.run.project}/${run.run.domain}; choose another name`);
  }
  return notFound(`run ${run.name.name} does not exist in ${run.name.project}/${run.name.domain}`);
}

/** Holds the live parents of the group, and says what is wrong with a child whose parent is not among them. */
async function liveParents(
  sql: Sql,
  items: readonly EnqueueItem[],
  known: ReadonlyMap<EnqueueItem, KnownRun>,
): Promise<{ refuse(run: KnownRun, action: WireAction): AppError | undefined }> {
  const parents = new Map<string, { runId: bigint; name: string }>();
  for (const item of items) {
    const run = known.get(item);
    if (run && item.action.parent)
      parents.set(`${run.id}/${item.action.parent}`, { runId: run.id, name: item.action.parent });
  }
  if (parents.size === 0) return { refuse: () => undefined };
  const live = new Set((await shareLiveParents(sql, [...parents.values()])).map((key) => `${key.runId}/${key.name}`));
  const absent = [...parents].flatMap(([key, parent]) => (live.has(key) ? [] : [parent]));
  const over = new Set(
    absent.length > 0 ? (await readActions(sql, absent)).map((action) => `${action.runId}/${action.name}`) : [],
  );
  return {
    refuse(run, action) {
      if (!action.parent) return undefined;
      const key = `${run.id}/${action.parent}`;
      if (live.has(key)) return undefined;
      if (over.has(key))
        return aborted(`action ${action.parent} of run ${run.name} is over; it can have no new children`);
      return notFound(`run ${run.name} has no action ${action.parent} that could be the parent of ${action.name}`);
    },
  };
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
