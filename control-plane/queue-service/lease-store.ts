/** SQL of admission: which pending rows a cluster gets, and what it holds. */
import type { Sql } from "@flyte-ts/platform/postgres";
import type { ItemKey } from "./store.ts";

/** A row that a cluster holds, with what the executor must know of its action. */
export interface LeasedItem extends ItemKey {
  state: number;
  attempt: number;
  epoch: bigint;
  parent: string | null;
  taskType: string;
  groupName: string;
  shortName: string;
  cacheKey: string;
  specDigest: Uint8Array | null;
  inputUri: string;
  runOutputBase: string;
  createdAt: Date;
  startedAt: Date | null;
  abortReason: string | null;
}

/** Who asks for work. Only the current session of a cluster that is not drained gets any. */
export interface Admission {
  cluster: string;
  session: bigint;
}

export interface Wanted {
  /** Classes of actions that the cluster may take. */
  classes: readonly bigint[];
  /** Other clusters that may take them as well: then this one takes only its share. */
  peers: readonly string[];
  slots: number;
  limit: number;
}

export interface Lease {
  items: LeasedItem[];
  /** Rows were passed by: they are a peer's share, or somebody was working on them. */
  left: boolean;
}

const due = "(not_before is null or not_before <= clock_timestamp())";
const leased = `q.run_id as "runId", q.name, q.state, q.attempt, q.epoch, a.parent, a.task_type as "taskType",
  a.group_name as "groupName", a.short_name as "shortName", a.cache_key as "cacheKey", a.spec_digest as "specDigest",
  a.input_uri as "inputUri", a.run_output_base as "runOutputBase", a.created_at as "createdAt",
  a.started_at as "startedAt", a.abort_reason as "abortReason"`;
const withAction = `join actions a on a.run_id = q.run_id and a.name = q.name`;

/** The oldest pending rows of the classes: one look into the index a class, whatever else is pending. */
const oldest = (slots: 0 | 1, most: string) => `(select p.run_id, p.name, p.id
    from unnest($3::bigint[]) c (class) cross join lateral (
      select run_id, name, id from queue_items
      where state = 0 and route_class = c.class and slots = ${slots} and ${due} order by id limit ${most}) p
    order by p.id limit ${most})`;
const locked = (from: string, most: string) => `(select q.run_id, q.name from ${from} w
    join queue_items q on q.run_id = w.run_id and q.name = w.name
    where q.state = 0 order by w.id limit ${most} for update of q skip locked)`;

/**
 * Leases the oldest pending rows: those that need no slot, and as many of the others as the cluster has slots free. A
 * parent with live children only waits, so it holds no slot: a chain of parents can not starve its own leaves. Of what
 * its peers may take as well the cluster takes a share: equal without slots, by free slots with them.
 *
 * The lock on the cluster's row is what a take-over and a drain wait for, and what makes a lease find out about them.
 */
export async function leaseItems(sql: Sql, admission: Admission, wanted: Wanted): Promise<Lease> {
  const { rows } = await sql.query<LeasedItem & { wanted: number }>({
    name: "lease-items",
    text: `with
      me as (select 1 from clusters where name = $1 and session = $2 and drained_at is null and lost_at is null
        for key share),
      slotless as ${oldest(0, "(select case when exists (select from me) then $5::int else 0 end)")},
      free as (
        select c.name, greatest(case when c.name = $1 then $4 else c.slots end - (select coalesce(sum(l.slots), 0)
          from queue_items l where l.cluster = c.name and l.state in (1, 2) and l.slots > 0
            and not exists (select from queue_items k where k.run_id = l.run_id and k.parent = l.name and k.state <> 2)),
          0)::int as n
        from clusters c where c.name = any($6::text[] || $1::text) and $4 > 0 and exists (select from me)
          and exists (select from unnest($3::bigint[]) k (class) cross join lateral (
            select 1 from queue_items where state = 0 and route_class = k.class and slots = 1 limit 1) any_slotted)),
      mine as (select coalesce((select n from free where name = $1), 0) as n, greatest(coalesce(sum(n), 0), 1) as total
        from free),
      slotted as ${oldest(1, "(select case when n = 0 then 0 when cardinality($6) = 0 then least(n, $5) else $5 end from mine)")},
      counts as (select (select count(*) from slotless) as slotless, (select count(*) from slotted) as slotted),
      picked as (
        select * from ${locked("slotless", "(select ceil(slotless / (cardinality($6) + 1.0)) from counts)")} one
        union all
        select * from ${locked("slotted", "(select least(m.n, ceil(c.slotted * m.n / case when cardinality($6) = 0 then m.n else m.total end::numeric)) from counts c, mine m where m.n > 0)")} two),
      taken as (
        update queue_items q set state = 1, cluster = $1, epoch = q.epoch + 1, leased_at = clock_timestamp(), not_before = null
        from picked p join actions a on a.run_id = p.run_id and a.name = p.name
        where q.run_id = p.run_id and q.name = p.name
        returning ${leased})
      select t.*, (c.slotless + c.slotted)::int as wanted from counts c left join taken t on true`,
    values: [admission.cluster, admission.session, wanted.classes, wanted.slots, wanted.limit, wanted.peers],
  });
  // Without a lease there is one row that only tells how much there was.
  const items = rows[0]?.runId ? rows : [];
  return { items, left: (rows[0]?.wanted ?? 0) > items.length };
}

/** All that a cluster holds: live leases, and those whose actions are over and must be cleaned up. */
export async function heldItems(sql: Sql, cluster: string): Promise<LeasedItem[]> {
  const { rows } = await sql.query<LeasedItem>({
    name: "held-items",
    text: `select ${leased} from queue_items q ${withAction} where q.cluster = $1 and q.state in (1, 2)`,
    values: [cluster],
  });
  return rows;
}

/** Leases of a cluster whose actions are over. */
export async function endingItems(sql: Sql, cluster: string): Promise<LeasedItem[]> {
  const { rows } = await sql.query<LeasedItem>({
    name: "ending-items",
    text: `select ${leased} from queue_items q ${withAction} where q.cluster = $1 and q.state = 2`,
    values: [cluster],
  });
  return rows;
}

/** What clusters hold that are lost. */
export async function lostItems(
  sql: Sql,
  limit: number,
): Promise<
  { runId: bigint; name: string; epoch: bigint; attempt: number; state: number; cluster: string; silentMs: number }[]
> {
  const { rows } = await sql.query<Awaited<ReturnType<typeof lostItems>>[number]>({
    name: "lost-items",
    text: `select q.run_id as "runId", q.name, q.epoch, q.attempt, q.state, c.name as cluster,
        extract(epoch from clock_timestamp() - c.last_heartbeat_at)::float8 * 1000 as "silentMs"
      from clusters c join queue_items q on q.cluster = c.name
      where c.lost_at is not null and q.state in (1, 2) limit $1`,
    values: [limit],
  });
  return rows;
}
