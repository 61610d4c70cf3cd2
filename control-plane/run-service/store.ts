/** SQL on `runs`. */
import type { Sql } from "@flyte-ts/platform/postgres";
import { inOrder, jsonBatch } from "../json-batch.ts";

export interface RunName {
  project: string;
  domain: string;
  name: string;
}

export interface NewRun extends RunName {
  runSpec: Uint8Array;
  labels: Record<string, string>;
  source: number;
  createdBy: string;
  relatedTo: string;
  relationType: number;
  inputsHash: string;
  startTime: Date;
}

export interface RunRow extends NewRun {
  id: bigint;
  createdAt: Date;
}

export const runColumns = `r.id, r.project, r.domain, r.name, r.run_spec as "runSpec", r.labels, r.source,
  r.created_by as "createdBy", r.related_to as "relatedTo", r.relation_type as "relationType",
  r.inputs_hash as "inputsHash", r.start_time as "startTime", r.created_at as "createdAt"`;

/** Inserts runs; one whose name is taken is left alone and missing from the answer. */
export async function insertRuns(sql: Sql, runs: readonly NewRun[]): Promise<RunRow[]> {
  const { rows } = await sql.query<RunRow>({
    name: "insert-runs",
    text: `insert into runs as r (project, domain, name, run_spec, labels, source, created_by, related_to, relation_type,
        inputs_hash, start_time)
      select project, domain, name, "runSpec", labels, source, "createdBy", "relatedTo", "relationType", "inputsHash",
        "startTime"
      from json_to_recordset($1) as n (project text, domain text, name text, "runSpec" bytea, labels jsonb, source smallint,
        "createdBy" text, "relatedTo" text, "relationType" smallint, "inputsHash" text, "startTime" timestamptz)
      on conflict do nothing returning ${runColumns}`,
    values: [jsonBatch(inOrder(runs, ({ project, domain, name }) => `${project}/${domain}/${name}`))],
  });
  return rows;
}

export async function findRuns(sql: Sql, names: readonly RunName[]): Promise<RunRow[]> {
  const { rows } = await sql.query<RunRow>({
    name: "find-runs",
    text: `select ${runColumns} from runs r
      where (r.project, r.domain, r.name) in (select * from unnest($1::text[], $2::text[], $3::text[]))`,
    values: [names.map((n) => n.project), names.map((n) => n.domain), names.map((n) => n.name)],
  });
  return rows;
}

export async function readRuns(sql: Sql, ids: readonly bigint[]): Promise<RunRow[]> {
  const { rows } = await sql.query<RunRow>({
    name: "read-runs",
    text: `select ${runColumns} from runs r where r.id = any($1::bigint[])`,
    values: [ids],
  });
  return rows;
}
