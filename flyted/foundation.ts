/**
 * What every server of the control plane stands on: database, object store, control plane, and the one port. Whoever
 * composes them decides what else answers there.
 */
import { userInfo } from "node:os";
import { fileURLToPath } from "node:url";
import type { ConnectRouter } from "@connectrpc/connect";
import { type Identity, identityInterceptor, localIdentity } from "@flyte-ts/control-plane/identity-service";
import type { Config } from "@flyte-ts/platform/config";
import { type OpenedObjectStore, openObjectStore } from "@flyte-ts/platform/object-store";
import { type Database, migrate, openDatabase, startEmbeddedPostgres } from "@flyte-ts/platform/postgres";
import { startRpcServer } from "@flyte-ts/platform/rpc";
import type { Logger } from "@flyte-ts/platform/telemetry";
import { type ControlPlane, controlPlane } from "./control-plane.ts";
import type { DataDir } from "./data-dir.ts";
import type { Stack } from "./stack.ts";
import { objectStoreAccess } from "./store-access.ts";
import { type ServerTelemetry, serverTelemetry } from "./telemetry.ts";

export interface FoundationOptions {
  config: Config;
  log: Logger;
  /** Of the embedded database and object store; needed for what the configuration does not place elsewhere. */
  dataDir?: DataDir;
  /** Called before each part is started, for those who wait. */
  onStep(step: string): void;
}

export interface Foundation {
  control: ControlPlane;
  objects: OpenedObjectStore["store"];
  /** Where people and tasks of this machine reach the server; empty until it listens. */
  url(): string;
  listen(routes: (router: ConnectRouter) => void): Promise<void>;
}

const migrations = fileURLToPath(new URL("../control-plane/schema/migrations", import.meta.url));

export async function layFoundation(options: FoundationOptions, parts: Stack): Promise<Foundation> {
  const { config, log, dataDir, onStep } = options;
  onStep(config.databaseUrl ? "connecting to the database" : "starting PostgreSQL");
  const database = await openDatabaseOf(config, dataDir, log, parts);
  await migrate(database, { folder: migrations });

  let url = "";
  const opened = await openObjectStoreOf(config, dataDir, log, () => url);
  parts.push(() => opened.close());
  const telemetry = serverTelemetry({ otlpEndpoint: config.telemetry.otlpEndpoint });
  parts.push(() => telemetry.shutdown());
  const identity = localIdentity(userInfo().username);
  const control = await controlPlane({
    database,
    objects: opened.store,
    log,
    identity,
    projects: config.projects,
    domains: config.domains.map((id) => ({ id, name: id.charAt(0).toUpperCase() + id.slice(1) })),
    systemRetries: config.retries.systemFailures,
    leases: { leaseMs: config.clusters.leaseSeconds * 1000, heartbeatMs: config.clusters.heartbeatSeconds * 1000 },
    objectStore: objectStoreAccess(config.objectStore, dataDir?.credentials),
    tracer: telemetry.tracer,
    onPhase: telemetry.phase,
  });
  parts.push(() => control.close());
  telemetry.database({ ...(await describeDatabase(database)), embedded: !config.databaseUrl });

  return {
    control,
    objects: opened.store,
    url: () => url,
    async listen(routes) {
      onStep("opening the port");
      const port = await openPort({ config, log, database, opened, telemetry, identity, routes }, parts);
      url = reachableUrl(config.host, port);
    },
  };
}

interface PortOptions {
  config: Config;
  log: Logger;
  database: Database;
  opened: OpenedObjectStore;
  telemetry: ServerTelemetry;
  identity: Identity;
  routes(router: ConnectRouter): void;
}

async function openPort(options: PortOptions, parts: Stack): Promise<number> {
  const { config, log, database, opened, telemetry, identity, routes } = options;
  const { endpoint, store } = opened;
  const server = await startRpcServer({
    host: config.host,
    port: config.port,
    routes,
    interceptors: [identityInterceptor(() => identity)],
    http: [telemetry.http, ...(endpoint ? ([(req, res) => endpoint.handle(req, res)] satisfies Http) : [])],
    health: {
      async ready() {
        await Promise.all([database.ping(), store.check()]);
      },
    },
    limits: { requestBytes: config.limits.requestBytes },
    log,
    metrics: telemetry.rpc,
  });
  parts.push(() => server.drain(config.drainSeconds * 1000));
  return server.port;
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

async function openDatabaseOf(
  config: Config,
  dataDir: DataDir | undefined,
  log: Logger,
  parts: Stack,
): Promise<Database> {
  let url = config.databaseUrl;
  if (!url) {
    if (!dataDir) throw new Error("this server has neither a database nor a data directory for one");
    const postgres = await startEmbeddedPostgres({ dataDir: dataDir.postgres, log });
    parts.push(() => postgres.stop());
    url = postgres.url;
  }
  const database = openDatabase({ url, applicationName: "flyte-ts", settings: pointLookups });
  parts.push(() => database.close());
  await database.ping();
  return database;
}

async function openObjectStoreOf(
  { objectStore }: Config,
  dataDir: DataDir | undefined,
  log: Logger,
  publicUrl: () => string,
): Promise<OpenedObjectStore> {
  if (objectStore.url) return openObjectStore(remoteStore({ ...objectStore, url: objectStore.url }));
  if (!dataDir) throw new Error("this server has neither an object store nor a data directory for one");
  return openObjectStore({
    folder: dataDir.objects,
    publicUrl,
    credentials: dataDir.credentials,
    onError: (failure) => log.warn({ ...failure, err: failure.error }, "an object store request failed"),
  });
}

/** What `openObjectStore` wants to know of a store that lives elsewhere. */
export function remoteStore({
  url,
  endpoint,
  region,
  accessKeyId,
  secretAccessKey,
}: Config["objectStore"] & { url: string }) {
  return {
    url,
    ...(endpoint && { endpoint }),
    ...(region && { region }),
    ...(accessKeyId && secretAccessKey && { credentials: { accessKeyId, secretAccessKey } }),
  };
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
