/**
 * The embedded default database: real PostgreSQL as a supervised child process. It listens on a unix socket in a
 * private folder, survives crashes of either side, and is restarted when it dies; `openDatabase` then just reconnects.
 *
 * ```ts
 * const server = await startEmbeddedPostgres({ dataDir: "/var/lib/flyte-ts/postgres", log });
 * const database = openDatabase({ url: server.url });
 * await server.stop();
 * ```
 *
 * One process at a time may own a data folder: a server left over by a dead owner is shut down and replaced, so the
 * caller must hold its own lock on the folder.
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";
import { type Binaries, findBinaries, prepareBinaries } from "./binaries.ts";
import { ensureCluster } from "./create-cluster.ts";
import { EmbeddedPostgresError } from "./embedded-postgres-error.ts";
import {
  databaseUrl,
  defaultPort,
  ensurePassword,
  type Layout,
  layoutOf,
  prepareDataDir,
  prepareSocketDir,
  socketPath,
} from "./layout.ts";
import { chooseIdentity, type ServerIdentity } from "./server-identity.ts";
import { keepRotating } from "./server-log.ts";
import { asArguments, serverSettings } from "./settings.ts";
import { superviseServer } from "./supervisor.ts";
import { stopSurvivor } from "./takeover.ts";

/** The part of a structured logger that we use; a pino logger fits. */
export interface ServerLog {
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

export interface EmbeddedPostgresOptions {
  readonly dataDir: string;
  readonly log: ServerLog;
  /** Also listen on this port of 127.0.0.1 (same password), for tools that cannot use a unix socket. */
  readonly port?: number;
  /** False trades every guarantee for speed: for throw-away test data only. */
  readonly durable?: boolean;
  readonly maxConnections?: number;
}

export interface EmbeddedPostgres {
  /** Holds the password; print it only through `redact()`. */
  readonly url: string;
  /** Of the server as it runs now; undefined while it is down. */
  readonly pid: number | undefined;
  readonly socketDir: string;
  /** Settles once the server has ended for good, that is after `stop()`. */
  readonly done: Promise<void>;
  /** Fast shutdown (open transactions are rolled back), after 20 s immediate shutdown. */
  stop(): Promise<void>;
}

const databaseName = "flyte";

/** Starts the server, making its data on first use; resolves when it accepts connections. */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<EmbeddedPostgres> {
  const { dataDir, log, durable = true, maxConnections = 60, port = defaultPort } = options;
  if (process.platform === "win32") {
    throw new EmbeddedPostgresError(
      "The embedded PostgreSQL does not run on Windows. Use --database-url with a PostgreSQL of your own, or WSL.",
    );
  }
  const started = performance.now();
  const identity = await chooseIdentity(layoutOf(dataDir).cluster);
  const [binaries, layout] = await Promise.all([
    findBinaries().then((found) => prepareBinaries(found, identity)),
    prepareDataDir(dataDir, identity),
  ]);
  const socketDir = await prepareSocketDir(layout, identity, port);
  const insideDataDir = socketDir === join(layout.dataDir, "socket");
  const socketLock = `${socketPath(socketDir, port)}.lock`;
  const password = await ensurePassword(layout);
  const created = await ensureCluster({ layout, binaries, identity, password, durable });
  if (await stopSurvivor(layout.cluster, socketLock))
    log.warn({ dataDir }, "stopped a PostgreSQL server left over by an earlier process");

  const settings = serverSettings({
    // The server works inside the cluster's folder, so this reaches its neighbour whatever the length of the whole path.
    socketDir: insideDataDir ? "../socket" : socketDir,
    port,
    tcp: options.port !== undefined,
    durable,
    maxConnections,
  });
  const supervisor = await superviseServer({ ...start(binaries, layout, identity, settings), layout, socketLock, log });
  const stopRotating = keepRotating(layout.logFile, (error) =>
    log.warn({ err: error }, "cannot rotate the PostgreSQL log"),
  );
  const access = { password, socketDir, port };
  try {
    await ensureDatabase(databaseUrl({ ...access, database: "postgres" }));
  } catch (error) {
    stopRotating();
    await supervisor.stop();
    throw error;
  }
  const ms = Math.round(performance.now() - started);
  log.info({ dataDir, pid: supervisor.pid, created, ms }, "PostgreSQL is ready");
  return {
    url: databaseUrl({ ...access, database: databaseName }),
    socketDir,
    get pid() {
      return supervisor.pid;
    },
    done: supervisor.done,
    stop: async () => {
      stopRotating();
      await supervisor.stop();
      if (!insideDataDir) await rm(socketDir, { recursive: true, force: true });
    },
  };
}

function start(binaries: Binaries, layout: Layout, identity: ServerIdentity, settings: Record<string, string>) {
  return {
    program: join(binaries.native, "bin", "postgres"),
    identity,
    dataDir: layout.dataDir,
    args: (dataDir: string) => ["-D", join(dataDir, "cluster"), ...asArguments(settings)],
  };
}

/** Our own database beside `postgres`; also the proof that we can log in. */
async function ensureDatabase(url: string): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 10_000 });
    client.on("error", () => {});
    try {
      await client.connect();
      const { rowCount } = await client.query("select 1 from pg_database where datname = $1", [databaseName]);
      if (rowCount === 0) await client.query(`create database ${databaseName}`);
      return;
    } catch (cause) {
      const { code, message } = cause as Error & { code?: string };
      // It died between being ready and now; the supervisor brings it back.
      if (code !== "28P01" && attempt < 5) {
        await sleep(200);
        continue;
      }
      const next =
        code === "28P01"
          ? "The password file does not belong to this database: restore it from a backup."
          : "See its log.";
      throw new EmbeddedPostgresError(`The embedded PostgreSQL started but refuses us: ${message}. ${next}`, { cause });
    } finally {
      await client.end().catch(() => {});
    }
  }
}
