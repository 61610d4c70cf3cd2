/** The table `settings`: one row for each scope that has any, guarded by its version. */

import type { Sql } from "@flyte-ts/platform/postgres";
import type { SettingsScope } from "./settings.ts";

export interface StoredSettings extends SettingsScope {
  /** `flyteidl2.settings.Settings`, with whatever unknown fields it came with. */
  settings: Uint8Array;
  version: bigint;
}

/** Those of the scopes that have settings, in no order. */
export async function readSettings(sql: Sql, scopes: readonly SettingsScope[]): Promise<StoredSettings[]> {
  const { rows } = await sql.query<StoredSettings>({
    name: "read-settings",
    text: `
      select s.scope_domain as domain, s.scope_project as project, s.settings, s.version
      from settings s
      join unnest($1::text[], $2::text[]) as wanted (domain, project)
        on s.scope_domain = wanted.domain and s.scope_project = wanted.project`,
    values: [scopes.map((scope) => scope.domain), scopes.map((scope) => scope.project)],
  });
  return rows;
}

/** The version of the new row; undefined when the scope has settings already. */
export async function insertSettings(
  sql: Sql,
  scope: SettingsScope,
  settings: Uint8Array,
): Promise<bigint | undefined> {
  const { rows } = await sql.query<{ version: bigint }>({
    name: "insert-settings",
    text: `
      insert into settings (scope_domain, scope_project, settings) values ($1, $2, $3)
      on conflict do nothing returning version`,
    values: [scope.domain, scope.project, Buffer.from(settings)],
  });
  return rows[0]?.version;
}

/** The next version; undefined when the row is not at `version` (any more). */
export async function updateSettings(
  sql: Sql,
  scope: SettingsScope,
  settings: Uint8Array,
  version: bigint,
): Promise<bigint | undefined> {
  const { rows } = await sql.query<{ version: bigint }>({
    name: "update-settings",
    text: `
      update settings set settings = $3, version = version + 1, updated_at = clock_timestamp()
      where scope_domain = $1 and scope_project = $2 and version::numeric = $4::numeric
      returning version`,
    values: [scope.domain, scope.project, Buffer.from(settings), version.toString()],
  });
  return rows[0]?.version;
}
