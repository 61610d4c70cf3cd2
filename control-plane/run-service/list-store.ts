/** Reads that list or filter runs and actions. A run is listed with its root action, whose phase is the run's. */
import { type ListQuery, ROOT_ACTION } from "@flyte-ts/core";
import type { Sql } from "@flyte-ts/platform/postgres";
import { listPage, listSql, type Page, type PageKeys, type SqlColumn, type SqlColumns } from "../list-sql.ts";
import { type ActionRow, actionColumns } from "../state-service/store.ts";

/** Which runs; empty texts mean any. */
export type RunScope =
  | { kind: "all" }
  | { kind: "project"; project: string; domain: string }
  | { kind: "task"; project: string; domain: string; name: string; version: string }
  /** Runs whose root action was reported by the cluster. */
  | { kind: "cluster"; name: string }
  | { kind: "none" };

/** What both runs and actions may be filtered and sorted by; `a` is the action. */
const actionFields: SqlColumns = {
  phase: { sql: "a.phase", type: "phase", notNull: true },
  action_type: { sql: "a.kind", type: "int", notNull: true },
  task_project: { sql: "a.task_project", type: "text", notNull: true },
  task_domain: { sql: "a.task_domain", type: "text", notNull: true },
  task_name: { sql: "a.task_name", type: "text", notNull: true },
  task_version: { sql: "a.task_version", type: "text", notNull: true },
  task_type: { sql: "a.task_type", type: "text", notNull: true },
  function_name: { sql: String.raw`regexp_replace(a.task_name, '^.*\.', '')`, type: "text", notNull: true },
  short_name: { sql: "a.short_name", type: "text", notNull: true },
  environment_name: { sql: "a.environment_name", type: "text", notNull: true },
  attempts: { sql: "a.attempts", type: "int", notNull: true },
  cache_status: { sql: "a.cache_status", type: "int", notNull: true },
  updated_at: { sql: "greatest(a.created_at, a.started_at, a.ended_at)", type: "timestamp", notNull: true },
  started_at: { sql: "a.started_at", type: "timestamp" },
  ended_at: { sql: "a.ended_at", type: "timestamp" },
  start_time: { sql: "a.created_at", type: "timestamp", notNull: true },
  end_time: { sql: "a.ended_at", type: "timestamp" },
  duration_ms: { sql: "(extract(epoch from a.ended_at - a.created_at) * 1000)::bigint", type: "int" },
};

export const runFields: SqlColumns = {
  ...actionFields,
  project: { sql: "r.project", type: "text", notNull: true },
  domain: { sql: "r.domain", type: "text", notNull: true },
  name: { sql: "r.name", type: "text", notNull: true },
  run_name: { sql: "r.name", type: "text", notNull: true },
  source: { sql: "r.source", type: "int", notNull: true },
  run_source: { sql: "r.source", type: "int", notNull: true },
  created_by: { sql: "r.created_by", type: "text", notNull: true },
  created_by_subject: { sql: "r.created_by", type: "text", notNull: true },
  related_to: { sql: "r.related_to", type: "text", notNull: true },
  relation_type: { sql: "r.relation_type", type: "int", notNull: true },
  // The time and the tie-break of the index runs_by_time.
  created_at: { sql: "r.created_at", type: "timestamp", notNull: true },
  labels: { sql: "r.labels", type: "labels", notNull: true },
};

export const runTieBreak = { field: "id", column: { sql: "r.id", type: "int", notNull: true } as const };

export const actionListFields: SqlColumns = {
  ...actionFields,
  name: { sql: "a.name", type: "text", notNull: true },
  parent: { sql: "a.parent", type: "text" },
  parent_name: { sql: "a.parent", type: "text" },
  group: { sql: "a.group_name", type: "text", notNull: true },
  group_name: { sql: "a.group_name", type: "text", notNull: true },
  created_at: { sql: "a.created_at", type: "timestamp", notNull: true },
};

export const actionTieBreak = { field: "name", column: { sql: "a.name", type: "text", notNull: true } as const };

export const runsWithRoots = `runs r join actions a on a.run_id = r.id and a.name = '${ROOT_ACTION}'`;

export async function listRunIds(
  sql: Sql,
  scope: RunScope,
  pausedOnly: boolean,
  query: ListQuery<SqlColumn>,
): Promise<Page<{ id: bigint }>> {
  const within = scopeSql(scope);
  const list = listSql(query, within.values);
  // Paused actions are live, so the few live rows are looked through, not the history.
  const paused = pausedOnly
    ? `with paused as materialized (
        select distinct q.run_id from queue_items q join actions p on p.run_id = q.run_id and p.name = q.name
        where p.phase = 9)`
    : "";
  const { rows } = await sql.query<{ id: bigint } & PageKeys>({
    text: `${paused} select r.id, ${list.keys} from ${runsWithRoots}
      where ${within.where} ${pausedOnly ? "and r.id in (select run_id from paused)" : ""} and ${list.where} ${list.tail}`,
    values: list.values,
  });
  return listPage(query, rows);
}

/** Those of `ids` that are in the scope. */
export async function runsInScope(sql: Sql, scope: RunScope, ids: readonly bigint[]): Promise<bigint[]> {
  const within = scopeSql(scope);
  const { rows } = await sql.query<{ id: bigint }>({
    text: `select r.id from ${runsWithRoots} where ${within.where} and r.id = any($${within.values.length + 1}::bigint[])`,
    values: [...within.values, ids],
  });
  return rows.map(({ id }) => id);
}

/** A statement's `where` for the scope; its parameters are the first ones. */
export function scopeSql(scope: RunScope): { where: string; values: unknown[] } {
  const values: unknown[] = [];
  const equal = (column: string, value: string) => (value === "" ? [] : [`${column} = $${values.push(value)}`]);
  const conditions: Record<RunScope["kind"], () => string[]> = {
    all: () => [],
    none: () => ["false"],
    project: () =>
      scope.kind === "project" ? [...equal("r.project", scope.project), ...equal("r.domain", scope.domain)] : [],
    task: () =>
      scope.kind === "task"
        ? [
            ...equal("a.task_project", scope.project),
            ...equal("a.task_domain", scope.domain),
            ...equal("a.task_name", scope.name),
            ...equal("a.task_version", scope.version),
          ]
        : [],
    cluster: () =>
      scope.kind === "cluster"
        ? [
            `exists (select from action_events e where e.run_id = r.id and e.name = a.name
              and e.cluster = $${values.push(scope.name)})`,
          ]
        : [],
  };
  const found = conditions[scope.kind]();
  return { where: found.length > 0 ? found.join(" and ") : "true", values };
}

export async function listActionRows(sql: Sql, runId: bigint, query: ListQuery<SqlColumn>): Promise<Page<ActionRow>> {
  const list = listSql(query, [runId]);
  const { rows } = await sql.query<ActionRow & PageKeys>({
    text: `select ${actionColumns}, ${list.keys} from actions a where run_id = $1 and ${list.where} ${list.tail}`,
    values: list.values,
  });
  return listPage(query, rows);
}

/** An action as the tree of its run needs it. */
export interface TreeRow {
  name: string;
  parent: string | null;
  phase: number;
  createdAt: Date;
}

/** One page of a run's actions in order of name. */
export async function readTree(sql: Sql, runId: bigint, after: string, limit: number): Promise<TreeRow[]> {
  const { rows } = await sql.query<TreeRow>({
    name: "read-tree",
    text: `select name, parent, phase, created_at as "createdAt" from actions
      where run_id = $1 and name > $2 order by name limit $3`,
    values: [runId, after, limit],
  });
  return rows;
}
