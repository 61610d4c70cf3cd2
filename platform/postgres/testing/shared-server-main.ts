/**
 * The process that keeps the shared test server: `node shared-server-main.ts <folder>`. Many may be started at once; the
 * one that gets the lock serves, the others end when it does. It ends by itself after a minute without a connection.
 */
import { randomBytes } from "node:crypto";
import { readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { type Database, openDatabase } from "../database.ts";
import { type EmbeddedPostgres, startEmbeddedPostgres } from "../embedded/start-embedded-postgres.ts";
import { answeringUrl, stateFile, stopChannel } from "./shared-server.ts";

const idleMs = Number(process.env.FLYTE_TS_TEST_SERVER_IDLE_MS ?? 60_000);
const watchMs = Math.min(5_000, idleMs / 2);
/** Databases of failed tests are kept this long. */
const keepSeconds = 24 * 60 * 60;

const log = {
  info: (fields: object, message: string) => console.log(message, fields),
  warn: (fields: object, message: string) => console.log(message, fields),
  error: (fields: object, message: string) => console.error(message, fields),
};

async function main(folder: string): Promise<void> {
  const lock = await takeLock(folder);
  if (lock === undefined) return;
  await rm(stateFile(folder), { force: true });
  const server = await startServer(folder);
  const database = openDatabase({ url: server.url, max: 1, applicationName: "flyte-ts test keeper" });
  const stopped = new AbortController();
  const stop = () => stopped.abort();
  process.once("SIGTERM", stop);
  process.once("SIGINT", stop);
  try {
    await prune(database);
    await database.listen(stopChannel, stop, () => {}).ready;
    await publish(folder, { url: server.url, pid: process.pid });
    await untilIdle(database, stopped.signal);
  } finally {
    await rm(stateFile(folder), { force: true });
    await database.close();
    await server.stop();
    lock.close();
  }
}

/** SQLite's file lock is let go by the system when its holder dies. Undefined when another keeper serves already. */
async function takeLock(folder: string): Promise<DatabaseSync | undefined> {
  const lock = new DatabaseSync(join(folder, "keeper.lock"));
  for (;;) {
    try {
      lock.exec("begin exclusive");
      return lock;
    } catch (error) {
      if (!(error instanceof Error) || !/locked/.test(error.message)) throw error;
    }
    if ((await answeringUrl(folder)) !== undefined) {
      lock.close();
      return undefined;
    }
    await sleep(100);
  }
}

/** Without fsync the data is only good until the machine restarts; what cannot be started is thrown away. */
async function startServer(folder: string): Promise<EmbeddedPostgres> {
  const dataDir = join(folder, "data");
  const bootFile = join(folder, "boot");
  const boot = await readFile("/proc/sys/kernel/random/boot_id", "utf8").catch(() => "unknown");
  if ((await readFile(bootFile, "utf8").catch(() => "")) !== boot) await rm(dataDir, { recursive: true, force: true });
  await writeFile(bootFile, boot);
  const options = { dataDir, log, durable: false, maxConnections: 300 };
  try {
    return await startEmbeddedPostgres(options);
  } catch (error) {
    console.error("starting over with new data", error);
    await rm(dataDir, { recursive: true, force: true });
    return await startEmbeddedPostgres(options);
  }
}

async function prune(database: Database): Promise<void> {
  const { rows } = await database.query<{ datname: string }>({
    text: `select datname from pg_database where datname ~ '^flyte_ts_test_[0-9]+_'
      and split_part(datname, '_', 4)::bigint < extract(epoch from now()) - $1::int`,
    values: [keepSeconds],
  });
  for (const { datname } of rows) await database.query({ text: `drop database ${datname} with (force)` });
}

async function publish(folder: string, state: { url: string; pid: number }): Promise<void> {
  const fresh = join(folder, `server.json.${randomBytes(4).toString("hex")}`);
  await writeFile(fresh, JSON.stringify(state), { mode: 0o600 });
  await rename(fresh, stateFile(folder));
}

async function untilIdle(database: Database, signal: AbortSignal): Promise<void> {
  let lastUse = Date.now();
  while (!signal.aborted && Date.now() - lastUse < idleMs) {
    await sleep(watchMs, undefined, { signal }).catch(() => {});
    const used = await database
      .query({
        text: `select 1 from pg_stat_activity where backend_type = 'client backend'
          and application_name not like 'flyte-ts test keeper%' limit 1`,
      })
      .then(({ rowCount }) => rowCount > 0)
      // Down and being restarted: somebody's test took it away, so it is in use.
      .catch(() => true);
    if (used) lastUse = Date.now();
  }
}

const folder = process.argv[2];
if (folder === undefined) throw new Error("usage: shared-server-main.ts <folder>");
await main(folder);
process.exit(0);
