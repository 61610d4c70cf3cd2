/** SQL on `clusters` and `route_classes`: who may take work, and what work asks for. */
import type { RouteClass } from "@flyte-ts/core";
import type { Sql } from "@flyte-ts/platform/postgres";
import { jsonBatch } from "../json-batch.ts";

export interface Capacity {
  cpu: number;
  memoryBytes: number;
  ephemeralStorageBytes: number;
  accelerators: string[];
}

/** What an executor tells of its cluster when it registers. */
export interface ClusterFacts {
  name: string;
  uid: string;
  kind: string;
  version: string;
  executor: string;
  labels: Record<string, string>;
  taskTypes: string[];
  queues: string[];
  capacity: Capacity;
  slots: number;
}

export interface ClusterRow extends ClusterFacts {
  session: bigint;
  registeredAt: Date;
  lastHeartbeatAt: Date;
  /** By the database's clock, so that replicas agree. */
  silentMs: number;
  /** Set from when its leases are given up until it registers again. */
  lostAt: Date | null;
  drainedAt: Date | null;
  drainReason: string;
}

const columns = `name, uid, kind, version, executor, session, labels, task_types as "taskTypes", queues, capacity, slots,
  registered_at as "registeredAt", last_heartbeat_at as "lastHeartbeatAt", lost_at as "lostAt", drained_at as "drainedAt",
  drain_reason as "drainReason",
  extract(epoch from clock_timestamp() - last_heartbeat_at)::float8 * 1000 as "silentMs"`;

/** Sessions grow also over a cluster that is forgotten and comes again. */
const nextSession = "greatest(session + 1, (extract(epoch from clock_timestamp()) * 1000)::bigint)";

export async function readClusters(sql: Sql): Promise<ClusterRow[]> {
  const { rows } = await sql.query<ClusterRow>({
    name: "read-clusters",
    text: `select ${columns} from clusters order by name`,
  });
  return rows;
}

/**
 * Reads a cluster for a change of who may lease for it: waits for leases that are being committed, and lets no other
 * begin before this transaction ends.
 */
export async function lockCluster(sql: Sql, name: string): Promise<ClusterRow | undefined> {
  const { rows } = await sql.query<ClusterRow>({
    name: "lock-cluster",
    text: `select ${columns} from clusters where name = $1 for update`,
    values: [name],
  });
  return rows[0];
}

/** Makes the row of a name that is new, so that it can be locked. */
export async function insertCluster(sql: Sql, name: string, uid: string): Promise<void> {
  await sql.query({
    name: "insert-cluster",
    text: "insert into clusters (name, uid) values ($1, $2) on conflict do nothing",
    values: [name, uid],
  });
}

/** Begins a session; the row is locked by the caller. */
export async function beginSession(sql: Sql, facts: ClusterFacts): Promise<bigint> {
  const { rows } = await sql.query<{ session: bigint }>({
    name: "begin-session",
    text: `update clusters set uid = $2, kind = $3, version = $4, executor = $5, labels = $6, task_types = $7, queues = $8,
        capacity = $9, slots = $10, session = ${nextSession}, last_heartbeat_at = clock_timestamp(), lost_at = null
      where name = $1 returning session`,
    values: [
      facts.name,
      facts.uid,
      facts.kind,
      facts.version,
      facts.executor,
      JSON.stringify(facts.labels),
      facts.taskTypes,
      facts.queues,
      JSON.stringify(facts.capacity),
      facts.slots,
    ],
  });
  return rows[0]?.session ?? 0n;
}

export interface Beat {
  cluster: string;
  session: bigint;
}

/** One statement for all that arrived together; gives the sessions that are current. */
export async function beat(sql: Sql, beats: readonly Beat[]): Promise<Set<bigint>> {
  const { rows } = await sql.query<{ session: bigint }>({
    name: "beat",
    text: `update clusters c set last_heartbeat_at = clock_timestamp()
      from (select distinct * from unnest($1::text[], $2::bigint[])) b (name, session)
      where c.name = b.name and c.session = b.session and c.lost_at is null
      returning c.session`,
    values: [beats.map(({ cluster }) => cluster), beats.map(({ session }) => session)],
  });
  return new Set(rows.map(({ session }) => session));
}

/** The executor of another session of the cluster that was heard of within `liveMs`; undefined while there is none. */
export async function readHolder(sql: Sql, { cluster, session }: Beat, liveMs: number): Promise<string | undefined> {
  const { rows } = await sql.query<{ executor: string }>({
    name: "read-holder",
    text: `select executor from clusters where name = $1 and session <> $2 and lost_at is null
      and last_heartbeat_at > clock_timestamp() - $3::float8 * interval '1 millisecond'`,
    values: [cluster, session, liveMs],
  });
  return rows[0]?.executor;
}

/** Ends the sessions of clusters that were silent for longer than `leaseMs`; gives how many. */
export async function loseSilent(sql: Sql, leaseMs: number): Promise<number> {
  const { rowCount } = await sql.query({
    name: "lose-silent",
    text: `update clusters set lost_at = clock_timestamp(), session = ${nextSession}
      where lost_at is null and last_heartbeat_at < clock_timestamp() - $1::float8 * interval '1 millisecond'`,
    values: [leaseMs],
  });
  return rowCount;
}

/** Ends the session of a cluster that is locked by the caller. */
export async function loseCluster(sql: Sql, name: string): Promise<void> {
  await sql.query({
    name: "lose-cluster",
    text: `update clusters set lost_at = clock_timestamp(), session = ${nextSession} where name = $1 and lost_at is null`,
    values: [name],
  });
}

export async function setDrained(sql: Sql, name: string, drained: boolean, reason: string): Promise<void> {
  await sql.query({
    name: "set-drained",
    text: `update clusters set drained_at = case when $2 then coalesce(drained_at, clock_timestamp()) end, drain_reason = $3
      where name = $1`,
    values: [name, drained, reason],
  });
}

export async function deleteCluster(sql: Sql, name: string): Promise<void> {
  await sql.query({ name: "delete-cluster", text: "delete from clusters where name = $1", values: [name] });
}

/** In one order everywhere, so that two transactions with the same new classes never wait for each other in a circle. */
export async function insertClasses(sql: Sql, classes: readonly RouteClass[]): Promise<void> {
  const rows = [...classes].sort((a, b) => (a.id < b.id ? -1 : 1));
  await sql.query({
    name: "insert-classes",
    text: `insert into route_classes (id, requirements)
      select * from json_to_recordset($1) as r (id bigint, requirements jsonb) on conflict do nothing`,
    values: [jsonBatch(rows)],
  });
}

/** The classes of what is pending now, however much that is: one look into the index a class. */
export async function pendingClasses(sql: Sql): Promise<RouteClass[]> {
  const { rows } = await sql.query<RouteClass>({
    name: "pending-classes",
    text: `with recursive present (class) as (
        (select route_class from queue_items where state = 0 order by route_class limit 1)
        union all
        select (select q.route_class from queue_items q where q.state = 0 and q.route_class > p.class
          order by q.route_class limit 1) from present p where p.class is not null)
      select c.id, c.requirements from present p join route_classes c on c.id = p.class`,
  });
  return rows;
}

/** The newest classes that were written at `since` or later. */
export async function newClasses(sql: Sql, since: Date, limit: number): Promise<(RouteClass & { createdAt: Date })[]> {
  const { rows } = await sql.query<RouteClass & { createdAt: Date }>({
    name: "new-classes",
    text: `select id, requirements, created_at as "createdAt" from route_classes where created_at >= $1
      order by created_at desc limit $2`,
    values: [since, limit],
  });
  return rows;
}

export interface ClusterCounts {
  cluster: string;
  leased: number;
  ending: number;
  slotsUsed: number;
}

/** What each cluster holds. A parent with live children only waits, so it uses no slot. */
export async function countHeld(sql: Sql): Promise<Map<string, ClusterCounts>> {
  const { rows } = await sql.query<ClusterCounts>({
    name: "count-held",
    text: `select l.cluster, count(*) filter (where l.state = 1)::int as leased,
        count(*) filter (where l.state = 2)::int as ending,
        coalesce(sum(l.slots) filter (where not exists (select from queue_items c
          where c.run_id = l.run_id and c.parent = l.name and c.state <> 2)), 0)::int as "slotsUsed"
      from queue_items l where l.state in (1, 2) and l.cluster is not null group by l.cluster`,
  });
  return new Map(rows.map((row) => [row.cluster, row]));
}

export async function countPending(sql: Sql): Promise<Map<bigint, number>> {
  const { rows } = await sql.query<{ id: bigint; pending: number }>({
    name: "count-pending",
    text: `select route_class as id, count(*)::int as pending from queue_items where state = 0 group by route_class`,
  });
  return new Map(rows.map(({ id, pending }) => [id, pending]));
}
