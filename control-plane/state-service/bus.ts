/**
 * Who is told what changed. Changes of this replica come straight from the commit; those of others come by NOTIFY, which
 * names the rows, and the rows are then read: the notification is a hint, the rows are the truth.
 *
 * After a lost database connection a feed is told to `resync`: it reads what changed since the oldest transaction it
 * could have missed.
 */
import { randomBytes } from "node:crypto";
import type { Database, Sql } from "@flyte-ts/platform/postgres";
import { type ActionChange, type ActionKey, oldestTransaction, readActions, readChangesSince } from "./store.ts";

export type ChangeListener = (changes: readonly ActionChange[]) => void;

/** What a commit did to the queue, as far as those who serve clusters must look again. */
export interface QueueHint {
  /** Pending rows, or slots that became free. */
  work: boolean;
  /** Retries that become pending later. */
  retries: boolean;
  /** Leases whose actions are over: their clusters must be told. */
  endings: boolean;
}

export const noHint: QueueHint = { work: false, retries: false, endings: false };
export const fullHint: QueueHint = { work: true, retries: true, endings: true };

export interface ChangeBus {
  /** Calls `listener` after each commit that touched the run, from whatever replica. */
  onRun(runId: bigint, listener: ChangeListener): () => void;
  /** Calls `listener` after each commit, of any run. */
  onAny(listener: ChangeListener): () => void;
  /** Calls `listener` after each commit that gives those who serve clusters something to look at. */
  onQueue(listener: (hint: QueueHint) => void): () => void;
  /** Called after the commit, by the one who made it. */
  publish(changes: readonly ActionChange[], hint: QueueHint): void;
  /** Called inside the transaction, so that other replicas hear of it exactly when it is committed. */
  notify(sql: Sql, changes: readonly ActionKey[], hint: QueueHint): Promise<void>;
  close(): Promise<void>;
}

const CHANNEL = "flyte_changes";
/** PostgreSQL takes payloads below 8,000 bytes. */
const MAX_PAYLOAD = 7900;

export interface BusOptions {
  database: Database;
  onError(error: unknown): void;
}

export function changeBus({ database, onError }: BusOptions): ChangeBus {
  const replica = randomBytes(6).toString("hex");
  const byRun = new Map<bigint, Set<ChangeListener>>();
  const any = new Set<ChangeListener>();
  const queue = new Set<(hint: QueueHint) => void>();
  let synced = "0";

  function publish(changes: readonly ActionChange[], hint: QueueHint): void {
    if (changes.length > 0) {
      for (const [runId, of] of groupByRun(changes)) {
        for (const listener of byRun.get(runId) ?? []) listener(of);
      }
      for (const listener of any) listener(changes);
    }
    if (hint.work || hint.retries || hint.endings) for (const listener of queue) listener(hint);
  }

  async function fromOthers(payload: string): Promise<void> {
    const [from, flag, ...groups] = payload.split("|");
    if (from === replica) return;
    const keys: ActionKey[] = [];
    for (const group of groups) {
      const [run, names] = group.split(":");
      if (!run || !names) continue;
      const runId = BigInt(run);
      if (any.size === 0 && !byRun.has(runId)) continue;
      for (const name of names.split(",")) keys.push({ runId, name });
    }
    const changes = keys.length > 0 ? await readActions(database, keys) : [];
    publish(changes, decodeHint(flag ?? ""));
  }

  async function resync(): Promise<void> {
    const since = synced;
    synced = await oldestTransaction(database);
    for (const runId of [...byRun.keys()]) publish(await readChangesSince(database, runId, since), noHint);
    publish([], fullHint);
  }

  // One after the other: a later notification must not overtake the reading of an earlier one.
  let tail: Promise<void> = Promise.resolve();
  const inOrder = (work: () => Promise<void>) => {
    tail = tail.then(work).catch(onError);
  };
  const subscription = database.listen(
    CHANNEL,
    (payload) => inOrder(() => fromOthers(payload)),
    () => inOrder(resync),
  );
  inOrder(async () => {
    synced = await oldestTransaction(database);
  });
  // The horizon moves on while the connection is whole, so that a resync reads little.
  const horizon = setInterval(() => {
    if (byRun.size > 0) inOrder(async () => void (synced = await oldestTransaction(database)));
  }, 30_000);
  horizon.unref();

  return {
    onRun(runId, listener) {
      const listeners = byRun.get(runId) ?? new Set();
      byRun.set(runId, listeners.add(listener));
      return () => {
        listeners.delete(listener);
        if (listeners.size === 0) byRun.delete(runId);
      };
    },
    onAny(listener) {
      any.add(listener);
      return () => any.delete(listener);
    },
    onQueue(listener) {
      queue.add(listener);
      return () => queue.delete(listener);
    },
    publish,
    async notify(sql, changes, hint) {
      await sql.query({
        name: "notify",
        text: "select pg_notify($1, p) from unnest($2::text[]) p",
        values: [CHANNEL, encodePayloads(replica, changes, hint)],
      });
    },
    async close() {
      clearInterval(horizon);
      await subscription.close();
      await tail;
    },
  };
}

function groupByRun(changes: readonly ActionChange[]): Map<bigint, readonly ActionChange[]> {
  const first = changes[0];
  if (first && changes.every((change) => change.runId === first.runId)) return new Map([[first.runId, changes]]);
  return Map.groupBy(changes, (change) => change.runId);
}

/** `replica|hint|run:name,name|run:name…`, as many payloads as needed. */
export function encodePayloads(replica: string, keys: readonly ActionKey[], hint: QueueHint): string[] {
  const head = `${replica}|${hint.work ? "w" : ""}${hint.retries ? "r" : ""}${hint.endings ? "e" : ""}`;
  const payloads: string[] = [];
  let payload = head;
  let run: bigint | undefined;
  for (const key of keys) {
    const group = `|${key.runId}:${key.name}`;
    const piece = key.runId === run ? `,${key.name}` : group;
    if (payload.length + piece.length > MAX_PAYLOAD) {
      payloads.push(payload);
      payload = head + group;
    } else payload += piece;
    run = key.runId;
  }
  payloads.push(payload);
  return payloads;
}

function decodeHint(letters: string): QueueHint {
  return { work: letters.includes("w"), retries: letters.includes("r"), endings: letters.includes("e") };
}
