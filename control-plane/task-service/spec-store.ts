/** The table `task_specs`: specifications by digest, written once, shared by deployed tasks and actions. */

import type { Sql } from "@flyte-ts/platform/postgres";
import { digestKey } from "./spec-digest.ts";

export interface StoredSpec {
  digest: Uint8Array;
  /** `flyteidl2.task.TaskSpec`, with whatever unknown fields it came with. */
  spec: Uint8Array;
}

/** Stores those not stored yet, in one statement; what is there stays as it is. */
export async function storeSpecs(sql: Sql, specs: readonly StoredSpec[]): Promise<void> {
  // Each digest once and in one order everywhere: two transactions with the same new specs wait, they never deadlock.
  const unique = [...new Map(specs.map((each) => [digestKey(each.digest), each]))].sort(([a], [b]) => (a < b ? -1 : 1));
  if (unique.length === 0) return;
  await sql.query({
    name: "store-specs",
    text: `
      insert into task_specs (digest, spec)
      select digest, spec from unnest($1::bytea[], $2::bytea[]) as t (digest, spec)
      on conflict (digest) do nothing`,
    values: [unique.map(([, each]) => buffer(each.digest)), unique.map(([, each]) => buffer(each.spec))],
  });
}

/** The specifications found, by `digestKey`. */
export async function loadSpecs(sql: Sql, digests: readonly Uint8Array[]): Promise<Map<string, Uint8Array>> {
  if (digests.length === 0) return new Map();
  const { rows } = await sql.query<StoredSpec>({
    name: "load-specs",
    text: "select digest, spec from task_specs where digest = any($1::bytea[])",
    values: [digests.map(buffer)],
  });
  return new Map(rows.map((row) => [digestKey(row.digest), row.spec]));
}

function buffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
