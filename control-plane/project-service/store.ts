/** The table `projects`; nobody else writes it. */

import type { ListQuery } from "@flyte-ts/core";
import type { Sql } from "@flyte-ts/platform/postgres";
import { listPage, listSql, type Page, type PageKeys, type SqlColumn, type SqlColumns } from "../list-sql.ts";
import type { ProjectRow } from "./project.ts";

/** What lists may filter and sort by. */
export const projectColumns: SqlColumns = {
  identifier: { sql: "id", type: "text", notNull: true },
  id: { sql: "id", type: "text", notNull: true },
  name: { sql: "name", type: "text", notNull: true },
  description: { sql: "description", type: "text", notNull: true },
  labels: { sql: "labels", type: "labels" },
  state: { sql: "state", type: "int", notNull: true },
  created_at: { sql: "created_at", type: "timestamp", notNull: true },
  updated_at: { sql: "updated_at", type: "timestamp", notNull: true },
};

/** The number of projects added: those whose id was taken are left as they are. */
export async function insertProjects(sql: Sql, rows: readonly ProjectRow[]): Promise<number> {
  const { rowCount } = await sql.query({
    name: "insert-projects",
    text: `
      insert into projects (id, name, description, labels, state, raw, created_at, updated_at)
      select id, name, description, labels, state, raw, now, now
      from unnest($1::text[], $2::text[], $3::text[], $4::jsonb[], $5::smallint[], $6::bytea[])
        as t (id, name, description, labels, state, raw),
        clock_timestamp() as now
      on conflict (id) do nothing`,
    values: [
      rows.map((row) => row.id),
      rows.map((row) => row.name),
      rows.map((row) => row.description),
      rows.map((row) => JSON.stringify(row.labels)),
      rows.map((row) => row.state),
      rows.map((row) => Buffer.from(row.raw)),
    ],
  });
  return rowCount;
}

/** False when there is no such project. */
export async function updateProject(sql: Sql, row: ProjectRow): Promise<boolean> {
  const { rowCount } = await sql.query({
    name: "update-project",
    text: `
      update projects
      set name = $2, description = $3, labels = $4::jsonb, state = $5, raw = $6, updated_at = clock_timestamp()
      where id = $1`,
    values: [row.id, row.name, row.description, JSON.stringify(row.labels), row.state, Buffer.from(row.raw)],
  });
  return rowCount === 1;
}

export async function readProject(sql: Sql, id: string): Promise<Uint8Array | undefined> {
  const { rows } = await sql.query<{ raw: Uint8Array }>({
    name: "read-project",
    text: "select raw from projects where id = $1",
    values: [id],
  });
  return rows[0]?.raw;
}

export async function projectExists(sql: Sql, id: string): Promise<boolean> {
  const { rowCount } = await sql.query({
    name: "project-exists",
    text: "select from projects where id = $1",
    values: [id],
  });
  return rowCount === 1;
}

/** States `hidden` are left out. */
export async function listProjects(
  sql: Sql,
  query: ListQuery<SqlColumn>,
  hidden: readonly number[],
): Promise<Page<{ raw: Uint8Array }>> {
  const list = listSql(query, [hidden]);
  const { rows } = await sql.query<{ raw: Uint8Array } & PageKeys>({
    text: `select raw, ${list.keys} from projects where state <> all($1::smallint[]) and ${list.where} ${list.tail}`,
    values: list.values,
  });
  return listPage(query, rows);
}
