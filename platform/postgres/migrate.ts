/**
 * Numbered, forward-only migrations from a folder of `0001-name.sql` files. Many replicas may start at once: each
 * migration runs in its own transaction under one advisory lock and is recorded there, so it is applied exactly once.
 * A schema newer than this program, or a file edited after it was applied, is refused before anything is changed.
 *
 * ```ts
 * const { version } = await migrate(database, { folder: fileURLToPath(new URL("./migrations", import.meta.url)) });
 * ```
 */
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Database, Sql } from "./database.ts";

export interface Migration {
  readonly version: number;
  readonly name: string;
  readonly text: string;
  readonly sha256: string;
}

/** The database was migrated by a newer program. */
export class NewerSchemaError extends Error {
  readonly found: number;
  readonly newestKnown: number;

  constructor(found: number, newestKnown: number) {
    super(
      `The database has schema version ${found}, but this flyte-ts knows versions up to ${newestKnown}. ` +
        "Start the newer flyte-ts that migrated it (or a later one); schemas are never migrated back.",
    );
    this.name = "NewerSchemaError";
    this.found = found;
    this.newestKnown = newestKnown;
  }
}

/** The folder and the database disagree about what was applied, or the folder itself is not in order. */
export class MigrationMismatchError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "MigrationMismatchError";
  }
}

/** The server is older than what our SQL needs. */
export class UnsupportedServerError extends Error {
  constructor(found: string) {
    super(
      `The server runs PostgreSQL ${found}, but flyte-ts needs 15 or later. Upgrade it or give another database URL.`,
    );
    this.name = "UnsupportedServerError";
  }
}

const oldestServer = 150_000;
/** Any fixed number will do, as long as every replica uses the same. */
const lockKey = 7_215_408_339_121n;
/** An index on a big table takes long; the server's own limit is lifted too. */
const migrationTimeoutMs = 6 * 60 * 60 * 1000;

/** Brings the schema to the newest version of the folder and says what was done. */
export async function migrate(
  database: Database,
  options: { folder: string },
): Promise<{ applied: number[]; version: number }> {
  const migrations = await readMigrations(options.folder);
  await checkServer(database);
  const applied: number[] = [];
  for (;;) {
    const version = await database.transaction((sql) => applyNext(sql, migrations));
    if (version === undefined) break;
    applied.push(version);
  }
  return { applied, version: migrations.length };
}

/** The folder's migrations in order; refuses gaps, doubles and names that are not `0001-name.sql`. */
export async function readMigrations(folder: string): Promise<Migration[]> {
  const files = (await readdir(folder)).filter((file) => file.endsWith(".sql")).sort();
  const migrations: Migration[] = [];
  for (const file of files) {
    const match = /^(\d{4})-([a-z0-9-]+)\.sql$/.exec(file);
    const expected = migrations.length + 1;
    if (!match?.[1] || !match[2] || Number(match[1]) !== expected) {
      const wanted = `${String(expected).padStart(4, "0")}-<name>.sql`;
      throw new MigrationMismatchError(
        `Migration file ${join(folder, file)} is out of order: the next one must be called ${wanted}. Rename it; numbers have no gaps and no doubles.`,
      );
    }
    const text = await readFile(join(folder, file), "utf8");
    migrations.push({ version: expected, name: match[2], text, sha256: sha256(text) });
  }
  return migrations;
}

async function checkServer(sql: Sql): Promise<void> {
  const { rows } = await sql.query<{ number: number; version: string }>({
    text: "select current_setting('server_version_num')::int as number, current_setting('server_version') as version",
  });
  const row = rows[0];
  if (row === undefined || row.number < oldestServer)
    throw new UnsupportedServerError(row?.version ?? "of unknown version");
}

async function applyNext(sql: Sql, migrations: readonly Migration[]): Promise<number | undefined> {
  await sql.query({ text: "set local statement_timeout = 0" });
  await sql.query({ text: "select pg_advisory_xact_lock($1)", values: [lockKey], timeoutMs: migrationTimeoutMs });
  await sql.query({
    text: `create table if not exists schema_migrations (
      version int primary key,
      name text not null,
      sha256 text not null,
      applied_at timestamptz not null default now()
    )`,
  });
  const { rows } = await sql.query<{ version: number; name: string; sha256: string }>({
    text: "select version, name, sha256 from schema_migrations order by version",
  });
  checkHistory(rows, migrations);
  const next = migrations[rows.length];
  if (next === undefined) return undefined;
  await sql.query({ text: next.text, timeoutMs: migrationTimeoutMs });
  await sql.query({
    text: "insert into schema_migrations (version, name, sha256) values ($1, $2, $3)",
    values: [next.version, next.name, next.sha256],
  });
  return next.version;
}

function checkHistory(
  rows: readonly { version: number; name: string; sha256: string }[],
  migrations: readonly Migration[],
): void {
  const found = rows.at(-1)?.version ?? 0;
  if (found > migrations.length) throw new NewerSchemaError(found, migrations.length);
  rows.forEach((row, index) => {
    const migration = migrations[index];
    if (migration === undefined || row.version !== migration.version) {
      throw new MigrationMismatchError(
        `Table schema_migrations has no entry for version ${index + 1}, although later ones were applied. Restore the table from a backup.`,
      );
    }
    if (row.sha256 !== migration.sha256) {
      throw new MigrationMismatchError(
        `Migration ${row.version} (${row.name}) was edited after it had been applied to this database. ` +
          "Restore the file as it was and put the change into a new migration.",
      );
    }
  });
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}
