/**
 * Everything in one process: database, object store, control plane, executor, API. Parts are started in order and
 * stopped in reverse; when a start fails, those before it are stopped again.
 */
import { userInfo } from "node:os";
import { fileURLToPath } from "node:url";
import { EMBEDDED_CLUSTER } from "@flyte-ts/control-plane/cluster-service";
import { identityInterceptor, localIdentity } from "@flyte-ts/control-plane/identity-service";
import type { Config } from "@flyte-ts/platform/config";
import { openObjectStore } from "@flyte-ts/platform/object-store";
import { type Database, migrate, openDatabase, startEmbeddedPostgres } from "@flyte-ts/platform/postgres";
import { startRpcServer } from "@flyte-ts/platform/rpc";
import type { Logger } from "@flyte-ts/platform/telemetry";
import { controlPlane } from "./control-plane.ts";
import { openDataDir } from "./data-dir.ts";
import { dataPlane } from "./data-plane.ts";
import { findPython } from "./python.ts";
import { type Stack, stack } from "./stack.ts";
import { storeEnvironment } from "./task-environment.ts";
import { serverTelemetry } from "./telemetry.ts";

export interface Server {
  url: string;
  /** The interpreter that runs Python tasks. */
  python: string;
  /** Stops accepting, lets calls finish, and leaves running tasks to the next server on the data directory. */
  stop(): Promise<void>;
}

export interface AllInOneOptions {
  config: Config;
  log: Logger;
  /** Called before each part is started, for those who wait. */
  onStep?(step: string): void;
}

const migrations = fileURLToPath(new URL("../control-plane/schema/migrations", import.meta.url));

export async function startAllInOne(options: AllInOneOptions): Promise<Server> {
  const parts = stack();
  try {
    return await start(options, parts);
  } catch (error) {
    await parts.unwind();
    throw error;
  }
}

async function start({ config, log, onStep = () => {} }: AllInOneOptions, parts: Stack): Promise<Server> {
  const python = await findPython(config.python);
  const dataDir = await openDataDir(config.dataDir);
  parts.push(() => dataDir.release());

  onStep(config.databaseUrl ? "connecting to the database" : "starting PostgreSQL");
  const database = await openDatabaseOf(config, dataDir.postgres, log, parts);
  await migrate(database, { folder: migrations });

  let url = "";
  const { objectStore } = config;
  const { accessKeyId, secretAccessKey } = objectStore;
  const credentials = accessKeyId && secretAccessKey ? { accessKeyId, secretAccessKey } : undefined;
  const opened = await openObjectStore(
    objectStore.url
      ? {
          url: objectStore.url,
          ...(objectStore.endpoint && { endpoint: objectStore.endpoint }),
          ...(objectStore.region && { region: objectStore.region }),
          ...(credentials && { credentials }),
        }
      : {
          folder: dataDir.objects,
          publicUrl: () => url,
          credentials: dataDir.credentials,
          onError: (failure) => log.warn({ ...failure, err: failure.error }, "an object store request failed"),
        },
  );
  parts.push(() => opened.close());
  const { store: objects, endpoint } = opened;

  const telemetry = serverTelemetry({ otlpEndpoint: config.telemetry.otlpEndpoint });
  parts.push(() => telemetry.shutdown());
  const identity = localIdentity(userInfo().username);
  const control = await controlPlane({
    database,
    objects,
    log,
    identity,
    projects: config.projects,
    domains: config.domains.map((id) => ({ id, name: id.charAt(0).toUpperCase() + id.slice(1) })),
    systemRetries: config.retries.systemFailures,
    tracer: telemetry.tracer,
    onPhase: telemetry.phase,
  });
  parts.push(() => control.close());
  telemetry.database({ ...(await describeDatabase(database)), embedded: !config.databaseUrl });
  const data = dataPlane({
    link: control.link,
    directory: control.directory,
    objects,
    log,
    workDir: dataDir.attempts,
    python,
    slots: config.embedded.slots,
    cluster: EMBEDDED_CLUSTER,
    taskEnvironment: () => ({
      _U_EP_OVERRIDE: new URL(url).host,
      _U_INSECURE: "true",
      ...storeEnvironment(objectStore, url, dataDir.credentials),
    }),
  });

  onStep("opening the port");
  const server = await startRpcServer({
    host: config.host,
    port: config.port,
    routes(router) {
      control.routes(router);
      data.routes(router);
    },
    interceptors: [identityInterceptor(() => identity)],
    http: [telemetry.http, ...(endpoint ? ([(req, res) => endpoint.handle(req, res)] satisfies Http) : [])],
    health: {
      async ready() {
        await Promise.all([database.ping(), objects.check()]);
      },
    },
    limits: { requestBytes: config.limits.requestBytes },
    log,
    metrics: telemetry.rpc,
  });
  parts.push(() => server.drain(config.drainSeconds * 1000));
  url = reachableUrl(config.host, server.port);

  const stop = new AbortController();
  const work = Promise.all([control.run(stop.signal), data.run(stop.signal)]);
  work.catch((err: unknown) => log.fatal({ err }, "the server's work ended"));
  parts.push(async () => {
    stop.abort();
    await work.catch(() => undefined);
  });
  return { url, python, stop: () => parts.unwind() };
}

type Http = NonNullable<Parameters<typeof startRpcServer>[0]["http"]>;

/**
 * Every statement of the control plane looks rows up by an index. A new table's statistics make PostgreSQL believe that
 * reading it whole is cheaper, and a prepared plan keeps that belief while the table grows. One plan serves any
 * parameters: planning anew costs more than running.
 */
const pointLookups = {
  enable_seqscan: "off",
  enable_hashjoin: "off",
  enable_mergejoin: "off",
  plan_cache_mode: "force_generic_plan",
};

async function openDatabaseOf(config: Config, dataDir: string, log: Logger, parts: Stack): Promise<Database> {
  let url = config.databaseUrl;
  if (!url) {
    const postgres = await startEmbeddedPostgres({ dataDir, log });
    parts.push(() => postgres.stop());
    url = postgres.url;
  }
  const database = openDatabase({ url, applicationName: "flyte-ts", settings: pointLookups });
  parts.push(() => database.close());
  await database.ping();
  return database;
}

async function describeDatabase(database: Database) {
  const { rows } = await database.query<{ version: string; fsync: string; synchronousCommit: string }>({
    text: `select current_setting('server_version') as version, current_setting('fsync') as fsync,
      current_setting('synchronous_commit') as "synchronousCommit"`,
  });
  return rows[0] ?? { version: "unknown", fsync: "unknown", synchronousCommit: "unknown" };
}

/** Where tasks and people on this machine reach the server. */
function reachableUrl(host: string, port: number): string {
  const any = host === "0.0.0.0" || host === "::" || host === "";
  const name = any ? "127.0.0.1" : host.includes(":") ? `[${host}]` : host;
  return `http://${name}:${port}`;
}
