/** SQL on `actions` and `action_events`. Batches travel as one JSON parameter: cheap to build here, one plan for any size. */
import { ROOT_ACTION } from "@flyte-ts/core";
import type { Sql } from "@flyte-ts/platform/postgres";
import { inOrder, jsonBatch } from "../json-batch.ts";

export interface ActionKey {
  runId: bigint;
  name: string;
}

/** A row of `actions` as first written. */
export interface NewAction extends ActionKey {
  parent: string | null;
  kind: number;
  phase: number;
  specDigest: Uint8Array | null;
  detail: Uint8Array;
  taskProject: string;
  taskDomain: string;
  taskName: string;
  taskVersion: string;
  taskType: string;
  shortName: string;
  environmentName: string;
  groupName: string;
  inputUri: string;
  runOutputBase: string;
  outputUri: string;
  error: Uint8Array | null;
  cacheKey: string;
  cacheStatus: number;
  createdAt: Date;
  startedAt: Date | null;
  endedAt: Date | null;
}

/** What watchers are told of an action: the state after one committed change. */
export interface ActionChange extends ActionKey {
  parent: string | null;
  kind: number;
  phase: number;
  version: number;
  attempts: number;
  runOutputBase: string;
  outputUri: string;
  error: Uint8Array | null;
  value: Uint8Array | null;
}

/** A row of `actions` as decisions need it. */
export interface LockedAction extends ActionChange {
  userFailures: number;
  systemFailures: number;
  specDigest: Uint8Array | null;
  cacheKey: string;
  cacheStatus: number;
  createdAt: Date;
  startedAt: Date | null;
}

/** A row of `actions` whole, as reads show it. */
export interface ActionRow extends NewAction, ActionChange {
  signalledBy: string;
  abortReason: string | null;
  abortedBy: string;
}

/** A change of one action, applied only where `version` still is what the decision was made on. */
export interface ActionMove extends ActionKey {
  version: number;
  phase: number;
  attempts: number;
  userFailures: number;
  systemFailures: number;
  outputUri: string;
  error: Uint8Array | null;
  value: Uint8Array | null;
  signalledBy: string;
  cacheStatus: number;
  abortReason: string | null;
  abortedBy: string;
  startedAt: Date | null;
  endedAt: Date | null;
}

const changeColumns = `run_id as "runId", name, parent, kind, phase, version, attempts,
  run_output_base as "runOutputBase", output_uri as "outputUri", error, value`;
const rowColumns = `${changeColumns}, spec_digest as "specDigest", detail, task_project as "taskProject",
  task_domain as "taskDomain", task_name as "taskName", task_version as "taskVersion", task_type as "taskType",
  short_name as "shortName", environment_name as "environmentName", group_name as "groupName", input_uri as "inputUri",
  cache_key as "cacheKey", cache_status as "cacheStatus",
  signalled_by as "signalledBy", abort_reason as "abortReason", aborted_by as "abortedBy", created_at as "createdAt",
  started_at as "startedAt", ended_at as "endedAt"`;

/** The columns of `ActionRow`, for reads that list or filter. */
export const actionColumns = rowColumns;

/**
 * Inserts actions and gives those that were written. A child is written only while its parent is live (the caller holds
 * the parents, see `shareLiveParents`). An action that exists is left alone (enqueue is idempotent), but a trace that
 * failed may be recorded again by the attempt that repeats it.
 */
export async function insertActions(sql: Sql, actions: readonly NewAction[]): Promise<ActionChange[]> {
  const { rows } = await sql.query<ActionChange>({
    name: "insert-actions",
    text: `insert into actions as a (run_id, name, parent, kind, phase, attempts, spec_digest, detail, task_project, task_domain,
        task_name, task_version, task_type, short_name, environment_name, group_name, input_uri, run_output_base, output_uri,
        error, cache_key, cache_status, created_at, started_at, ended_at)
      select "runId", name, parent, kind, phase, 1, "specDigest", detail, "taskProject", "taskDomain", "taskName",
        "taskVersion", "taskType", "shortName", "environmentName", "groupName", "inputUri", "runOutputBase", "outputUri",
        error, "cacheKey", "cacheStatus", "createdAt", "startedAt", "endedAt"
      from json_to_recordset($1) as r ("runId" bigint, name text, parent text, kind smallint, phase smallint,
        "specDigest" bytea, detail bytea, "taskProject" text, "taskDomain" text, "taskName" text, "taskVersion" text,
        "taskType" text, "shortName" text, "environmentName" text, "groupName" text, "inputUri" text, "runOutputBase" text,
        "outputUri" text, error bytea, "cacheKey" text, "cacheStatus" smallint, "createdAt" timestamptz,
        "startedAt" timestamptz, "endedAt" timestamptz)
      where parent is null
        or (select q.state in (0, 1) from queue_items q where q.run_id = "runId" and q.name = r.parent)
      on conflict (run_id, name) do update set phase = excluded.phase, version = a.version + 1,
        output_uri = excluded.output_uri, error = excluded.error, started_at = excluded.started_at,
        ended_at = excluded.ended_at, detail = excluded.detail, xid = pg_current_xact_id()
      where a.kind = 2 and excluded.kind = 2 and a.phase = 6
      returning ${changeColumns}`,
    values: [jsonBatch(inOrder(actions, ({ runId, name }) => `${runId}/${name}`))],
  });
  return rows;
}

export async function lockActions(sql: Sql, keys: readonly ActionKey[]): Promise<LockedAction[]> {
  const { rows } = await sql.query<LockedAction>({
    name: "lock-actions",
    text: `select ${changeColumns}, user_failures as "userFailures", system_failures as "systemFailures",
        spec_digest as "specDigest", cache_key as "cacheKey", cache_status as "cacheStatus", created_at as "createdAt",
        started_at as "startedAt"
      from actions where (run_id, name) in (select * from unnest($1::bigint[], $2::text[]))
      order by run_id, name for update`,
    values: [keys.map((key) => key.runId), keys.map((key) => key.name)],
  });
  return rows;
}

/**
 * Applies moves by compare-and-set, all or none: a move that lost its race divides by zero, so that the commit which
 * travels right behind this statement becomes a rollback.
 */
export async function moveActions(sql: Sql, moves: readonly ActionMove[]): Promise<void> {
  await sql.query({
    name: "move-actions",
    text: `with moved as (
      update actions a set phase = r.phase, version = a.version + 1, attempts = r.attempts,
        user_failures = r."userFailures", system_failures = r."systemFailures", output_uri = r."outputUri",
        error = r.error, value = r.value, signalled_by = r."signalledBy", cache_status = r."cacheStatus",
        abort_reason = r."abortReason", aborted_by = r."abortedBy", started_at = r."startedAt", ended_at = r."endedAt",
        xid = pg_current_xact_id()
      from json_to_recordset($1) as r ("runId" bigint, name text, version integer, phase smallint, attempts integer,
        "userFailures" integer, "systemFailures" integer, "outputUri" text, error bytea, value bytea, "signalledBy" text,
        "cacheStatus" smallint, "abortReason" text, "abortedBy" text, "startedAt" timestamptz, "endedAt" timestamptz)
      where a.run_id = r."runId" and a.name = r.name and a.version = r.version
      returning 1)
      select 1 / (count(*) = $2)::int from moved`,
    values: [jsonBatch(moves), moves.length],
  });
}

/** Aborts actions that are still live (their queue rows are locked by the caller). */
export async function abortActions(
  sql: Sql,
  keys: readonly ActionKey[],
  abort: { reason: string; by: string; at: Date },
): Promise<ActionChange[]> {
  const { rows } = await sql.query<ActionChange>({
    name: "abort-actions",
    text: `update actions set phase = 7, version = version + 1, abort_reason = $3, aborted_by = $4, ended_at = $5,
        xid = pg_current_xact_id()
      where (run_id, name) in (select * from unnest($1::bigint[], $2::text[])) and phase in (1, 2, 3, 4, 9)
      returning ${changeColumns}`,
    values: [keys.map((key) => key.runId), keys.map((key) => key.name), abort.reason, abort.by, abort.at],
  });
  return rows;
}

export interface ActionEventRow extends ActionKey {
  report: Uint8Array;
  cluster: string;
}

export async function insertEvents(sql: Sql, events: readonly ActionEventRow[]): Promise<void> {
  await sql.query({
    name: "insert-events",
    text: `insert into action_events (run_id, name, report, cluster)
      select * from json_to_recordset($1) as r ("runId" bigint, name text, report bytea, cluster text)`,
    values: [jsonBatch(events)],
  });
}

export async function readEvents(sql: Sql, key: ActionKey): Promise<{ report: Uint8Array; cluster: string }[]> {
  const { rows } = await sql.query<{ report: Uint8Array; cluster: string }>({
    name: "read-events",
    text: `select report, cluster from action_events where run_id = $1 and name = $2 order by id`,
    values: [key.runId, key.name],
  });
  return rows;
}

/** The cluster that last reported of an action. */
export async function lastCluster(sql: Sql, key: ActionKey): Promise<string | undefined> {
  const { rows } = await sql.query<{ cluster: string }>({
    name: "last-cluster",
    text: `select cluster from action_events where run_id = $1 and name = $2 order by id desc limit 1`,
    values: [key.runId, key.name],
  });
  return rows[0]?.cluster;
}

/** One page of a parent's children in order of name. */
export async function readChildren(
  sql: Sql,
  runId: bigint,
  parent: string,
  after: string,
  limit: number,
): Promise<ActionChange[]> {
  const { rows } = await sql.query<ActionChange>({
    name: "read-children",
    text: `select ${changeColumns} from actions where run_id = $1 and parent = $2 and name > $3 order by name limit $4`,
    values: [runId, parent, after, limit],
  });
  return rows;
}

export async function readActions(sql: Sql, keys: readonly ActionKey[]): Promise<ActionRow[]> {
  const { rows } = await sql.query<ActionRow>({
    name: "read-actions",
    text: `select ${rowColumns} from actions where (run_id, name) in (select * from unnest($1::bigint[], $2::text[]))`,
    values: [keys.map((key) => key.runId), keys.map((key) => key.name)],
  });
  return rows;
}

/** What changed in a run since `since`, the oldest transaction that a reader may have missed. */
export async function readChangesSince(sql: Sql, runId: bigint, since: string): Promise<ActionChange[]> {
  const { rows } = await sql.query<ActionChange>({
    name: "read-changes-since",
    text: `select ${changeColumns} from actions where run_id = $1 and xid >= $2::xid8`,
    values: [runId, since],
  });
  return rows;
}

/** The same for the root actions of all runs. */
export async function readRootChangesSince(sql: Sql, since: string): Promise<ActionChange[]> {
  const { rows } = await sql.query<ActionChange>({
    name: "read-root-changes-since",
    text: `select ${changeColumns} from actions where name = '${ROOT_ACTION}' and xid >= $1::xid8`,
    values: [since],
  });
  return rows;
}

/** The oldest transaction still running: all before it is visible to every later read. */
export async function oldestTransaction(sql: Sql): Promise<string> {
  const { rows } = await sql.query<{ xmin: string }>({
    name: "oldest-transaction",
    text: `select pg_snapshot_xmin(pg_current_snapshot())::text as xmin`,
  });
  return rows[0]?.xmin ?? "0";
}
