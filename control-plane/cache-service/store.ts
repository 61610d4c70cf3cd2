/** SQL on `cache_entries`: where the outputs of an earlier, equal call lie. */
import type { Sql } from "@flyte-ts/platform/postgres";
import { jsonBatch } from "../json-batch.ts";

export interface CacheEntry {
  key: string;
  outputUri: string;
  sourceRun: bigint;
  sourceAction: string;
  sourceAttempt: number;
}

export async function findEntries(sql: Sql, keys: readonly string[]): Promise<(CacheEntry & { createdAt: Date })[]> {
  const { rows } = await sql.query<CacheEntry & { createdAt: Date }>({
    name: "find-cache-entries",
    text: `select key, output_uri as "outputUri", source_run as "sourceRun", source_action as "sourceAction",
        source_attempt as "sourceAttempt", created_at as "createdAt"
      from cache_entries where key = any($1::text[])`,
    values: [keys],
  });
  return rows;
}

/** The newest result of a key wins: it is what a caller asked to be computed last. */
export async function putEntries(sql: Sql, entries: readonly CacheEntry[]): Promise<void> {
  await sql.query({
    name: "put-cache-entries",
    text: `insert into cache_entries (key, output_uri, source_run, source_action, source_attempt)
      select distinct on (key) * from json_to_recordset($1)
        as r (key text, "outputUri" text, "sourceRun" bigint, "sourceAction" text, "sourceAttempt" integer)
      on conflict (key) do update set output_uri = excluded.output_uri, source_run = excluded.source_run,
        source_action = excluded.source_action, source_attempt = excluded.source_attempt, created_at = clock_timestamp()`,
    values: [jsonBatch(entries)],
  });
}

/** Two transactions that decide who computes an entry do it one after the other. */
export async function lockKeys(sql: Sql, keys: readonly string[]): Promise<void> {
  await sql.query({
    name: "lock-cache-keys",
    text: `select pg_advisory_xact_lock(hashtextextended(k, 42)) from (select unnest($1::text[]) as k order by 1) s`,
    values: [keys],
  });
}
