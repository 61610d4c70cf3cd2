/** Runs of a window of time, grouped by their root's task name, aggregated in the database. */
import type { ListQuery } from "@flyte-ts/core";
import type { Sql } from "@flyte-ts/platform/postgres";
import {
  filterSql,
  listPage,
  listSql,
  type Page,
  type PageKeys,
  type SqlColumn,
  type SqlColumns,
} from "../list-sql.ts";
import { type RunScope, runsWithRoots, scopeSql } from "./list-store.ts";

export interface GroupRow {
  taskName: string;
  shortName: string;
  environmentName: string;
  totalRuns: number;
  latestRunTime: Date;
  latestFinishedTime: Date | null;
  /** Newest last. */
  recentNames: string[];
  recentPhases: number[];
  phaseCounts: Record<string, number>;
  userErrors: number;
  systemErrors: number;
  /** Errors of runs that lost attempts to both sides: the error itself says which one ended the run. */
  otherErrors: Uint8Array[];
  failureRate: number;
  averageDurationMs: number | null;
  averageToRunningMs: number | null;
  createdBy: string[];
}

export const groupFields: SqlColumns = {
  task_name: { sql: "g.task_name", type: "text", notNull: true },
  name: { sql: "g.task_name", type: "text", notNull: true },
  short_name: { sql: "g.short_name", type: "text", notNull: true },
  environment_name: { sql: "g.environment_name", type: "text", notNull: true },
  total_runs: { sql: "g.total_runs", type: "int", notNull: true },
  latest_run_time: { sql: "g.latest_run_time", type: "timestamp", notNull: true },
  created_at: { sql: "g.latest_run_time", type: "timestamp", notNull: true },
  average_duration: { sql: "g.average_duration::bigint", type: "int" },
  // Per mille, so that it is whole and a page can start after it.
  average_failure_rate: { sql: "(g.failure_rate * 1000)::bigint", type: "int", notNull: true },
};

export const groupTieBreak = {
  field: "task_name",
  column: { sql: "g.task_name", type: "text", notNull: true } as const,
};

export interface GroupWindow {
  scope: RunScope;
  /** From this time on, and before that one. */
  start: Date | null;
  end: Date | null;
}

/** `filters` choose runs, `query` orders and pages the groups. */
export async function aggregateGroups(
  sql: Sql,
  { scope, start, end }: GroupWindow,
  filters: ListQuery<SqlColumn>,
  query: ListQuery<SqlColumn>,
): Promise<Page<GroupRow>> {
  const within = scopeSql(scope);
  const window = `r.created_at >= coalesce($${within.values.length + 1}::timestamptz, '-infinity')
    and r.created_at < coalesce($${within.values.length + 2}::timestamptz, 'infinity')`;
  const filter = filterSql(filters, [...within.values, start, end]);
  const list = listSql(query, filter.values);
  const { rows } = await sql.query<GroupRow & PageKeys>({
    text: `
      with root as (
        select r.id, r.name as run_name, r.created_at, r.created_by, a.phase, a.task_name, a.short_name,
          a.environment_name, a.error, a.user_failures, a.system_failures, a.phase in (6, 8) as failed,
          extract(epoch from a.ended_at - a.created_at) * 1000 as duration, a.ended_at,
          extract(epoch from a.started_at - a.created_at) * 1000 as to_running,
          row_number() over newest as place
        from ${runsWithRoots}
        where ${within.where} and ${window} and ${filter.where}
        window newest as (partition by a.task_name order by r.created_at desc, r.id desc)
      ), phase_count as (
        select task_name, jsonb_object_agg(phase, n) as phase_counts
        from (select task_name, phase, count(*) as n from root group by task_name, phase) of
        group by task_name
      ), g as (
        select task_name, max(short_name) filter (where place = 1) as short_name,
          max(environment_name) filter (where place = 1) as environment_name,
          count(*)::integer as total_runs, max(created_at) as latest_run_time, max(ended_at) as latest_finished_time,
          array_agg(run_name order by place desc) filter (where place <= 10) as recent_names,
          array_agg(phase::integer order by place desc) filter (where place <= 10) as recent_phases,
          (count(*) filter (where phase = 8 or (phase = 6 and user_failures > 0 and system_failures = 0)))::integer
            as user_errors,
          (count(*) filter (where phase = 6 and user_failures = 0))::integer as system_errors,
          coalesce(array_agg(error) filter (where phase = 6 and user_failures > 0 and system_failures > 0), '{}')
            as other_errors,
          avg(failed::integer)::float8 as failure_rate, avg(duration)::float8 as average_duration,
          avg(to_running)::float8 as average_to_running,
          array_agg(distinct created_by) filter (where created_by <> '') as created_by
        from root group by task_name
      )
      select g.task_name as "taskName", g.short_name as "shortName", g.environment_name as "environmentName",
        g.total_runs as "totalRuns", g.latest_run_time as "latestRunTime",
        g.latest_finished_time as "latestFinishedTime", g.recent_names as "recentNames",
        g.recent_phases as "recentPhases", p.phase_counts as "phaseCounts", g.user_errors as "userErrors",
        g.system_errors as "systemErrors", g.other_errors as "otherErrors", g.failure_rate as "failureRate",
        g.average_duration as "averageDurationMs", g.average_to_running as "averageToRunningMs",
        coalesce(g.created_by, '{}') as "createdBy", ${list.keys}
      from g join phase_count p using (task_name)
      where ${list.where} ${list.tail}`,
    values: list.values,
  });
  return listPage(query, rows);
}
