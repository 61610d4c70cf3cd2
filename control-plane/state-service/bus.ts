/**
 * Who is told what changed. Changes of this replica come straight from the commit; those of others come by NOTIFY, which
 * names the rows, and the rows are then read: the notification is a hint, the rows are the truth.
 *
 * After a lost connection, or a reading that failed, the bus resyncs: it reads what changed since the oldest transaction
 * it could have missed, and repeats that until it succeeds.
 */
import { randomBytes } from "node:crypto";
import { ROOT_ACTION } from "@flyte-ts/core";
import type { Database, Sql } from "@flyte-ts/platform/postgres";
import { decodePayload, encodePayloads, fullHint, type QueueHint } from "./bus-payload.ts";
import { listeners } from "./listeners.ts";
import {
  type ActionChange,
  type ActionKey,
  oldestTransaction,
  readActions,
  readChangesSince,
  readRootChangesSince,
} from "./store.ts";

export { fullHint, noHint, type QueueHint } from "./bus-payload.ts";

export type ChangeListener = (changes: readonly ActionChange[]) => void;

/** Names of actions with new reports; undefined when any action of the run may have some. */
export type ReportListener = (names: readonly string[] | undefined) => void;

export interface ChangeBus {
  /** Settles when changes of all replicas are heard: a snapshot read after that has no gap. */
  readonly ready: Promise<void>;
  /** Calls `listener` after each commit that touched the run, from whatever replica. */
  onRun(runId: bigint, listener: ChangeListener): () => void;
  /** Calls `listener` after each commit with new reports of the run's actions that did not change them. */
  onReports(runId: bigint, listener: ReportListener): () => void;
  /** Calls `listener` after each commit that changed root actions, with those, of any run. */
  onRoots(listener: ChangeListener): () => void;
  /** Calls `listener` after each commit that gives those who serve clusters something to look at. */
  onQueue(listener: (hint: QueueHint) => void): () => void;
  /** Called after the commit, by the one who made it. */
  publish(changes: readonly ActionChange[], hint: QueueHint, reported?: readonly ActionKey[]): void;
  /** Called inside the transaction, so that other replicas hear of it exactly when it is committed. */
  notify(sql: Sql, changes: readonly ActionKey[], hint: QueueHint, reported?: readonly ActionKey[]): Promise<void>;
  close(): Promise<void>;
}

const CHANNEL = "flyte_changes";
const FIRST_RETRY_MS = 100;
const LONGEST_RETRY_MS = 5_000;

export interface BusOptions {
  database: Database;
  onError(error: unknown): void;
  /** Called with each commit of this replica. */
  onCommit?: ChangeListener;
  /** How often the point moves on from which a resync reads; 30 s unless told. */
  horizonMs?: number;
}

export function changeBus({ database, onError, onCommit, horizonMs = 30_000 }: BusOptions): ChangeBus {
  const replica = randomBytes(6).toString("hex");
  const byRun = listeners<bigint, readonly ActionChange[]>(onError);
  const reports = listeners<bigint, readonly string[] | undefined>(onError);
  const roots = listeners<"roots", readonly ActionChange[]>(onError);
  const queue = listeners<"queue", QueueHint>(onError);
  /** Everything that transactions before this one did has been told. */
  let synced = "0";
  let retry: NodeJS.Timeout | undefined;
  let retryMs = FIRST_RETRY_MS;
  let closed = false;
  const first = Promise.withResolvers<void>();

  function deliver(changes: readonly ActionChange[], hint: QueueHint, reported: readonly ActionKey[] = []): void {
    for (const [runId, of] of groupByRun(changes)) byRun.tell(runId, of);
    if (roots.has("roots")) tellRoots(changes);
    for (const [runId, of] of groupByRun(reported)) {
      if (reports.has(runId)) {
        reports.tell(
          runId,
          of.map(({ name }) => name),
        );
      }
    }
    if (hint.work || hint.retries || hint.endings || hint.routes) queue.tell("queue", hint);
  }

  function tellRoots(changes: readonly ActionChange[]): void {
    const changed = changes.filter(({ name }) => name === ROOT_ACTION);
    if (changed.length > 0) roots.tell("roots", changed);
  }

  async function fromOthers(payload: string): Promise<void> {
    const mark = horizonOf(payload);
    if (mark) {
      // Notifications come in the order of commits: all that this mark covers has been told before it.
      if (mark.replica === replica && retry === undefined) synced = mark.oldest;
      return;
    }
    const { replica: from, hint, changed, reported } = decodePayload(payload);
    if (from === replica) return;
    const heard = ({ runId, name }: ActionKey) => byRun.has(runId) || (name === ROOT_ACTION && roots.has("roots"));
    const keys = changed.filter(heard);
    deliver(keys.length > 0 ? await readActions(database, keys) : [], hint, reported);
  }

  async function resync(): Promise<void> {
    const oldest = await oldestTransaction(database);
    for (const runId of byRun.keys()) byRun.tell(runId, await readChangesSince(database, runId, synced));
    // Who listens to roots waits for `ready`, so the first time there is nothing to make good.
    if (roots.has("roots") && synced !== "0") tellRoots(await readRootChangesSince(database, synced));
    for (const runId of reports.keys()) reports.tell(runId, undefined);
    deliver([], fullHint);
    synced = oldest;
    retryMs = FIRST_RETRY_MS;
    first.resolve();
  }

  /** What could not be read is made good by a resync; until it succeeds the horizon stays where it is. */
  function failed(error: unknown): void {
    if (closed) return;
    onError(error);
    if (retry !== undefined) return;
    retry = setTimeout(() => {
      inOrder(async () => {
        retry = undefined;
        await resync();
      });
    }, retryMs);
    retryMs = Math.min(retryMs * 2, LONGEST_RETRY_MS);
  }

  // One after the other: a later notification must not overtake the reading of an earlier one.
  let tail: Promise<void> = Promise.resolve();
  function inOrder(work: () => Promise<void>): void {
    tail = tail.then(() => (closed ? undefined : work())).catch(failed);
  }
  const subscription = database.listen(
    CHANNEL,
    (payload) => inOrder(() => fromOthers(payload)),
    () => inOrder(resync),
  );

  /** Moves the horizon on while the connection is whole, so that a resync reads little. */
  async function sendHorizon(): Promise<void> {
    if (!roots.has("roots") && byRun.keys().length === 0) return;
    const oldest = await oldestTransaction(database);
    await send(database, [`${replica}|${HORIZON}${oldest}`]);
  }
  const horizon = setInterval(() => void sendHorizon().catch(onError), horizonMs);
  horizon.unref();

  return {
    ready: first.promise,
    onRun: (runId, listener) => byRun.add(runId, listener),
    onReports: (runId, listener) => reports.add(runId, listener),
    onRoots: (listener) => roots.add("roots", listener),
    onQueue: (listener) => queue.add("queue", listener),
    publish(changes, hint, reported) {
      onCommit?.(changes);
      deliver(changes, hint, reported);
    },
    notify: (sql, changed, hint, reported = []) => send(sql, encodePayloads({ replica, hint, changed, reported })),
    async close() {
      closed = true;
      clearInterval(horizon);
      clearTimeout(retry);
      first.resolve();
      await subscription.close();
      await tail;
    },
  };
}

async function send(sql: Sql, payloads: readonly string[]): Promise<void> {
  await sql.query({
    name: "notify",
    text: "select pg_notify($1, p) from unnest($2::text[]) p",
    values: [CHANNEL, payloads],
  });
}

const HORIZON = "horizon=";

function horizonOf(payload: string): { replica: string; oldest: string } | undefined {
  const [replica = "", mark = ""] = payload.split("|");
  return mark.startsWith(HORIZON) ? { replica, oldest: mark.slice(HORIZON.length) } : undefined;
}

function groupByRun<Key extends ActionKey>(keys: readonly Key[]): Iterable<[bigint, readonly Key[]]> {
  const [first] = keys;
  if (!first) return [];
  if (keys.every(({ runId }) => runId === first.runId)) return [[first.runId, keys]];
  return Map.groupBy(keys, ({ runId }) => runId);
}
