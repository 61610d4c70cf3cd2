/** SQL on `queue_items`: one row for every live action; its end deletes the row. */
import type { Requirements } from "@flyte-ts/core";
import type { Sql } from "@flyte-ts/platform/postgres";
import { jsonBatch } from "../json-batch.ts";

/** Values of `queue_items.state`. */
export const ItemState = {
  pending: 0,
  leased: 1,
  /** The action is over; its cluster still cleans up. */
  ending: 2,
  /** Needs no cluster: a condition waits for its signal. */
  held: 3,
  /** Waits for the action that computes the same cache entry. */
  waitsForCache: 4,
} as const;

export interface ItemKey {
  runId: bigint;
  name: string;
}

export interface NewItem extends ItemKey {
  parent: string | null;
  slots: number;
  /** `route_classes`; 0 for what needs no cluster. */
  routeClass: bigint;
  state: number;
  cacheKey: string | null;
  dueAt: Date | null;
}

export interface LockedItem extends ItemKey {
  parent: string | null;
  state: number;
  attempt: number;
  epoch: bigint;
  cluster: string | null;
  cacheKey: string | null;
  enqueuedAt: Date;
}

const lockedColumns = `run_id as "runId", name, parent, state, attempt, epoch, cluster, cache_key as "cacheKey", enqueued_at as "enqueuedAt"`;
const keyList = `(select * from unnest($1::bigint[], $2::text[]))`;

function arrays(keys: readonly ItemKey[]): [bigint[], string[]] {
  return [keys.map((key) => key.runId), keys.map((key) => key.name)];
}

/** Inserts the rows of actions that this transaction has inserted; those that existed have, or had, theirs. */
export async function insertItems(sql: Sql, items: readonly NewItem[]): Promise<void> {
  await sql.query({
    name: "insert-items",
    text: `insert into queue_items (run_id, name, parent, slots, route_class, state, cache_key, due_at)
      select r.* from json_to_recordset($1) as r ("runId" bigint, name text, parent text, slots smallint,
        "routeClass" bigint, state smallint, "cacheKey" text, "dueAt" timestamptz)
      where (select a.version = 1 and a.xid = pg_current_xact_id() from actions a where a.run_id = "runId" and a.name = r.name)
      on conflict do nothing`,
    values: [jsonBatch(items)],
  });
}

/** Locks rows in the one order that everybody uses, so that two transactions never wait for each other in a circle. */
export async function lockItems(sql: Sql, keys: readonly ItemKey[]): Promise<LockedItem[]> {
  const { rows } = await sql.query<LockedItem>({
    name: "lock-items",
    text: `select ${lockedColumns} from queue_items where (run_id, name) in ${keyList} order by run_id, name for update`,
    values: arrays(keys),
  });
  return rows;
}

/**
 * Parents among `keys` that are live, held so until the transaction ends: while a child is being enqueued its parent can
 * not end, and an end that comes later sees the child.
 */
export async function shareLiveParents(sql: Sql, keys: readonly ItemKey[]): Promise<ItemKey[]> {
  const { rows } = await sql.query<ItemKey>({
    name: "share-live-parents",
    text: `select run_id as "runId", name from queue_items where (run_id, name) in ${keyList} and state in (0, 1)
      order by run_id, name for share`,
    values: arrays(keys),
  });
  return rows;
}

/** Everything live below `keys`, without them; locked in order. */
export async function lockDescendants(sql: Sql, keys: readonly ItemKey[]): Promise<LockedItem[]> {
  const { rows } = await sql.query<LockedItem>({
    name: "lock-descendants",
    text: `with recursive below (run_id, name) as (
        select q.run_id, q.name from unnest($1::bigint[], $2::text[]) k (run_id, name)
          join queue_items q on q.run_id = k.run_id and q.parent = k.name
        union
        select q.run_id, q.name from below b join queue_items q on q.run_id = b.run_id and q.parent = b.name)
      select ${lockedColumns} from queue_items where (run_id, name) in (select * from below) and state <> 2
      order by run_id, name for update`,
    values: arrays(keys),
  });
  return rows;
}

export async function deleteItems(sql: Sql, keys: readonly ItemKey[]): Promise<void> {
  await sql.query({
    name: "delete-items",
    text: `delete from queue_items where (run_id, name) in ${keyList}`,
    values: arrays(keys),
  });
}

/** The actions are over, but their clusters must still be told to clean up. */
export async function markEnding(sql: Sql, keys: readonly ItemKey[]): Promise<void> {
  await sql.query({
    name: "mark-ending",
    text: `update queue_items set state = 2, due_at = null, cache_key = null where (run_id, name) in ${keyList}`,
    values: arrays(keys),
  });
}

export interface Requeue extends ItemKey {
  delayMs: number;
  dueAt: Date | null;
}

/** Puts failed attempts back for their next try. */
export async function requeueItems(sql: Sql, items: readonly Requeue[]): Promise<void> {
  await sql.query({
    name: "requeue-items",
    text: `update queue_items q set state = 0, attempt = q.attempt + 1, cluster = null, leased_at = null,
        not_before = case when r."delayMs" > 0 then clock_timestamp() + r."delayMs" * interval '1 millisecond' end,
        enqueued_at = clock_timestamp() + r."delayMs" * interval '1 millisecond', due_at = r."dueAt"
      from json_to_recordset($1) as r ("runId" bigint, name text, "delayMs" double precision, "dueAt" timestamptz)
      where q.run_id = r."runId" and q.name = r.name`,
    values: [jsonBatch(items)],
  });
}

export async function setDue(sql: Sql, items: readonly (ItemKey & { dueAt: Date | null })[]): Promise<void> {
  await sql.query({
    name: "set-due",
    text: `update queue_items q set due_at = r."dueAt"
      from json_to_recordset($1) as r ("runId" bigint, name text, "dueAt" timestamptz)
      where q.run_id = r."runId" and q.name = r.name`,
    values: [jsonBatch(items)],
  });
}

/** Live rows whose limit of time has passed; skips what another replica is working on. */
export async function dueItems(sql: Sql, limit: number): Promise<ItemKey[]> {
  const { rows } = await sql.query<ItemKey>({
    name: "due-items",
    text: `select run_id as "runId", name from queue_items where due_at <= clock_timestamp() order by due_at limit $1`,
    values: [limit],
  });
  return rows;
}

/** Milliseconds until the next limit of time, and until the next delayed retry; null when there is none. */
export async function nextTimes(sql: Sql): Promise<{ dueInMs: number | null; retryInMs: number | null }> {
  const { rows } = await sql.query<{ dueInMs: number | null; retryInMs: number | null }>({
    name: "next-times",
    text: `select
        (select extract(epoch from min(due_at) - clock_timestamp())::float8 * 1000 from queue_items
          where due_at is not null) as "dueInMs",
        (select extract(epoch from min(not_before) - clock_timestamp())::float8 * 1000 from queue_items
          where state = 0 and not_before > clock_timestamp()) as "retryInMs"`,
  });
  return rows[0] ?? { dueInMs: null, retryInMs: null };
}

/** Live actions that hold the reservation of a cache entry: the first to compute it. */
export async function cacheHolders(sql: Sql, cacheKeys: readonly string[]): Promise<string[]> {
  const { rows } = await sql.query<{ cacheKey: string }>({
    name: "cache-holders",
    text: `select distinct cache_key as "cacheKey" from queue_items where cache_key = any($1::text[]) and state in (0, 1)`,
    values: [cacheKeys],
  });
  return rows.map((row) => row.cacheKey);
}

/** Actions that wait for cache entries, oldest first; locked. */
export async function lockCacheWaiters(sql: Sql, cacheKeys: readonly string[]): Promise<LockedItem[]> {
  const { rows } = await sql.query<LockedItem>({
    name: "lock-cache-waiters",
    text: `select ${lockedColumns} from queue_items where cache_key = any($1::text[]) and state = 4
      order by run_id, name for update`,
    values: [cacheKeys],
  });
  return rows.sort((a, b) => a.enqueuedAt.getTime() - b.enqueuedAt.getTime());
}

/** Gives the oldest of those who wait for an entry that nobody computes the turn to compute it; the number of them. */
export async function promoteCacheWaiters(sql: Sql, cacheKeys: readonly string[]): Promise<number> {
  const { rowCount } = await sql.query({
    name: "promote-cache-waiters",
    text: `update queue_items set state = 0 where (run_id, name) in (
        select distinct on (w.cache_key) w.run_id, w.name from queue_items w
        where w.cache_key = any($1::text[]) and w.state = 4
          and not exists (select from queue_items h where h.cache_key = w.cache_key and h.state in (0, 1))
        order by w.cache_key, w.id)`,
    values: [cacheKeys],
  });
  return rowCount;
}

/** A row with what it asks for. */
export interface QueuedItem {
  state: number;
  attempt: number;
  slots: number;
  cluster: string | null;
  enqueuedAt: Date;
  /** Milliseconds until a delayed retry; null when it is not delayed. */
  retryInMs: number | null;
  requirements: Requirements | null;
}

export async function readItem(sql: Sql, key: ItemKey): Promise<QueuedItem | undefined> {
  const { rows } = await sql.query<QueuedItem>({
    name: "read-item",
    text: `select q.state, q.attempt, q.slots, q.cluster, q.enqueued_at as "enqueuedAt",
        extract(epoch from q.not_before - clock_timestamp())::float8 * 1000 as "retryInMs", c.requirements
      from queue_items q left join route_classes c on c.id = q.route_class where q.run_id = $1 and q.name = $2`,
    values: [key.runId, key.name],
  });
  return rows[0];
}
