/**
 * The template database for a folder of migrations: made once per content of the folder, under an advisory lock, and
 * given its name only when it is complete.
 */
import { createHash } from "node:crypto";
import { type Database, openDatabase } from "../database.ts";
import { migrate, readMigrations } from "../migrate.ts";

const templateLock = 7_215_408_339_122n;
const buildTimeoutMs = 120_000;

/** The template's name. */
export async function ensureTemplate(admin: Database, serverUrl: string, folder: string): Promise<string> {
  const hash = createHash("sha256");
  for (const { name, sha256 } of await readMigrations(folder)) hash.update(`${name} ${sha256}\n`);
  const template = `flyte_ts_template_${hash.digest("hex").slice(0, 16)}`;
  if (await exists(admin, template)) return template;
  // Databases cannot be made inside a transaction: the transaction only holds the lock, another connection builds.
  await admin.transaction(async (sql) => {
    await sql.query({ text: "set local statement_timeout = 0" });
    await sql.query({ text: "select pg_advisory_xact_lock($1)", values: [templateLock], timeoutMs: buildTimeoutMs });
    if (!(await exists(admin, template))) await build(admin, serverUrl, folder, template);
  });
  return template;
}

async function build(admin: Database, serverUrl: string, folder: string, template: string): Promise<void> {
  const unfinished = `${template}_new`;
  await admin.query({ text: `drop database if exists ${unfinished} with (force)` });
  await admin.query({ text: `create database ${unfinished}` });
  const url = new URL(serverUrl);
  url.pathname = `/${unfinished}`;
  const database = openDatabase({ url: url.href, max: 2 });
  await migrate(database, { folder }).finally(() => database.close());
  // A connection lingers for a moment after it was closed, and would keep the database from being renamed.
  await admin.query({
    text: "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = $1",
    values: [unfinished],
  });
  await admin.query({ text: `alter database ${unfinished} rename to ${template}` });
}

async function exists(admin: Database, name: string): Promise<boolean> {
  const { rowCount } = await admin.query({ text: "select 1 from pg_database where datname = $1", values: [name] });
  return rowCount > 0;
}
