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
  specDigest: Uint8Array | null;
  inputUri: string;
  runOutputBase: string;
  createdAt: Date;
  startedAt: Date | null;
  abortReason: string | null;
}

export interface Admission {
  cluster: string;
  /** Devices of the cluster; "" is always among them. */
  accelerators: readonly string[];
  /** Task types with a plugin; undefined for any. */
  taskTypes: readonly string[] | undefined;
}

const eligible = `state = 0 and accelerator = any($2::text[]) and ($3::text[] is null or task_type = any($3))
          and (not_before is null or not_before <= clock_timestamp())`;
const leased = `q.run_id as "runId", q.name, q.state, q.attempt, q.epoch, a.parent, a.task_type as "taskType",
  a.group_name as "groupName", a.spec_digest as "specDigest", a.input_uri as "inputUri",
  a.run_output_base as "runOutputBase", a.created_at as "createdAt", a.started_at as "startedAt",
  a.abort_reason as "abortReason"`;
const withAction = `join actions a on a.run_id = q.run_id and a.name = q.name`;

/**
 * Leases the oldest pending rows: those that need no slot, and as many of the others as the cluster has slots free. A
 * parent with live children only waits, so it holds no slot: a chain of parents can not starve its own leaves.
 */
export async function leaseItems(sql: Sql, admission: Admission, slots: number, limit: number): Promise<LeasedItem[]> {
  const { rows } = await sql.query<LeasedItem>({
    name: "lease-items",
    text: `with
      slotless as (
        select run_id, name from queue_items where slots = 0 and ${eligible} order by id limit $5 for update skip locked),
      free as (
        select case when exists (select from queue_items where state = 0 and slots = 1)
          then least(greatest($4 - (select coalesce(sum(l.slots), 0) from queue_items l
            where l.cluster = $1 and l.state in (1, 2) and l.slots > 0
              and not exists (select from queue_items c where c.run_id = l.run_id and c.parent = l.name and c.state <> 2)), 0), $5)
          else 0 end as n),
      slotted as (
        select run_id, name from queue_items where slots = 1 and ${eligible} order by id limit (select n from free)
        for update skip locked)
      update queue_items q set state = 1, cluster = $1, epoch = q.epoch + 1, leased_at = clock_timestamp(), not_before = null
      from (select * from slotless union all select * from slotted) p
        join actions a on a.run_id = p.run_id and a.name = p.name
      where q.run_id = p.run_id and q.name = p.name
      returning ${leased}`,
    values: [admission.cluster, admission.accelerators, admission.taskTypes ?? null, slots, limit],
  });
  return rows;
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
