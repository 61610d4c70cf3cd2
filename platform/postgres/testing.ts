/**
 * A real PostgreSQL database of its own for each test, cloned from a template that has the migrations applied.
 *
 * ```ts
 * test("enqueue is idempotent", async (t) => {
 *   const database = await testDatabase(t, { migrations: schemaFolder });
 * });
 * ```
 *
 * All test processes of this user share one throw-away server; it starts on demand and ends by itself when idle.
 * FLYTE_TS_TEST_DATABASE_URL points to another server (a role that may create databases). The database is dropped
 * after the test, unless the test failed: then its name is printed. Hooks run in the order they were registered, so a
 * test that starts services on the database should stop them itself, or they see it vanish.
 */
import { randomBytes } from "node:crypto";
import type { Database } from "./database.ts";
import { openDatabase } from "./database.ts";
import { DatabaseUnavailableError, redact } from "./errors.ts";
import { stopTestServer, testServerUrl } from "./testing/shared-server.ts";
import { ensureTemplate } from "./testing/template.ts";

export { stopTestServer, testServerUrl };

/** What we use of node:test's context; `{ after }` from node:test gives one database to a whole file. */
export interface TestScope {
  after(hook: () => Promise<void>): void;
  readonly error?: unknown;
  readonly name?: string;
  diagnostic?(message: string): void;
}

const creationAttempts = 5;

/** A fresh database with the folder's migrations applied, open until the test ends. */
export async function testDatabase(t: TestScope, options: { migrations?: string } = {}): Promise<Database> {
  const { admin, name, url } = await create(options.migrations);
  const database = openDatabase({ url, applicationName: "flyte-ts test" });
  t.after(async () => {
    await database.close();
    try {
      if (t.error) t.diagnostic?.(`The database of this failed test is kept: ${name} on ${redact(url)}`);
      else await admin.query({ text: `drop database if exists ${name} with (force)` });
    } catch (error) {
      // A test may have taken the server away; the next start prunes what stayed.
      if (!(error instanceof DatabaseUnavailableError)) throw error;
    } finally {
      await admin.close();
    }
  });
  return database;
}

/** The shared server may be going to sleep while we come, so a lost connection starts over. */
async function create(migrations: string | undefined): Promise<{ admin: Database; name: string; url: string }> {
  for (let attempt = 1; ; attempt++) {
    const serverUrl = await testServerUrl();
    const admin = openDatabase({ url: serverUrl, max: 2, applicationName: "flyte-ts test admin" });
    try {
      const template = migrations === undefined ? "template1" : await ensureTemplate(admin, serverUrl, migrations);
      const name = `flyte_ts_test_${Math.floor(Date.now() / 1000)}_${randomBytes(5).toString("hex")}`;
      await admin.query({ text: `create database ${name} template ${template} strategy ${await fastest(admin)}` });
      return { admin, name, url: withDatabase(serverUrl, name) };
    } catch (error) {
      await admin.close();
      if (!(error instanceof DatabaseUnavailableError) || attempt === creationAttempts) throw error;
    }
  }
}

/** Copying files takes two checkpoints: half the time (120 ms) where nothing is synced, much longer where it is. */
async function fastest(admin: Database): Promise<string> {
  const { rows } = await admin.query<{ fsync: string }>({ text: "select current_setting('fsync') as fsync" });
  return rows[0]?.fsync === "off" ? "file_copy" : "wal_log";
}

function withDatabase(url: string, name: string): string {
  const changed = new URL(url);
  changed.pathname = `/${name}`;
  return changed.href;
}
