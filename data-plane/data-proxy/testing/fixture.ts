/**
 * A data proxy over a real file store and a real log store; the test scripts the directory. `dataProxyFixture` is called
 * through Connect in memory, `servedDataProxy` over HTTP on a real port, which serves the signed URLs too.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { create } from "@bufbuild/protobuf";
import {
  type Client,
  type Code,
  ConnectError,
  type ConnectRouter,
  createClient,
  createRouterTransport,
} from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { type ActionIdentifier, ActionIdentifierSchema } from "@flyte-ts/contract/flyteidl2/common/identifier_pb.ts";
import { DataProxyService } from "@flyte-ts/contract/flyteidl2/dataproxy/dataproxy_service_pb.ts";
import type { TaskSpec } from "@flyte-ts/contract/flyteidl2/task/task_definition_pb.ts";
import { notFound, systemClock } from "@flyte-ts/core";
import { type LogStore, logStore } from "@flyte-ts/data-plane/logs";
import { type FileStore, openFileStore, type UrlSigner } from "@flyte-ts/platform/object-store";
import { s3Endpoint, urlSigner } from "@flyte-ts/platform/object-store/s3-endpoint";
import { errorMapping, type RpcLog, requestValidation, startRpcServer, validation } from "@flyte-ts/platform/rpc";
import { type ActionDirectory, type ActionRecord, type DataProxyLimits, dataProxyService } from "../index.ts";

const silent: RpcLog = { debug() {}, info() {}, warn() {}, error() {} };

export interface Fixture {
  client: Client<typeof DataProxyService>;
  objects: FileStore;
  logs: LogStore;
  /** A folder of this test, beside the objects. */
  folder: string;
  actions: Map<string, ActionRecord>;
  tasks: Map<string, TaskSpec>;
}

export interface FixtureOptions {
  limits?: Partial<DataProxyLimits>;
  /** Instead of the real log store. */
  logs?: Pick<LogStore, "tail">;
  /** Also hold requests against the contract's rules, as the server does. */
  validate?: boolean;
}

/** Project `p` with domain `development` exists; actions and tasks are what the test puts into the maps, by name. */
export async function dataProxyFixture(t: TestContext, options: FixtureOptions = {}): Promise<Fixture> {
  const { routes, ...rest } = await parts(t, plainSigner, options);
  const interceptors = [errorMapping(silent), ...(options.validate ? [validation(requestValidation())] : [])];
  const transport = createRouterTransport(routes, { router: { interceptors } });
  return { ...rest, client: createClient(DataProxyService, transport) };
}

/** The same on a port of its own, with the S3 endpoint beside it; `advance` moves the clock of the signatures. */
export async function servedDataProxy(
  t: TestContext,
  options: FixtureOptions = {},
): Promise<Fixture & { url: string; advance(ms: number): void }> {
  let url = "";
  let ahead = 0;
  const now = () => new Date(Date.now() + ahead);
  const credentials = { accessKeyId: "AKTEST", secretAccessKey: "secret" };
  const signer = urlSigner({ baseUrl: () => url, credentials, now });
  const { routes, ...rest } = await parts(t, signer, options);
  const lookup = (id: string) => (id === credentials.accessKeyId ? credentials : undefined);
  const endpoint = s3Endpoint({ store: rest.objects, lookup, now });
  const server = await startRpcServer({
    host: "127.0.0.1",
    port: 0,
    routes,
    http: [(req, res) => endpoint.handle(req, res)],
    health: { ready: async () => {} },
    log: silent,
  });
  url = server.url;
  t.after(async () => {
    endpoint.close();
    await server.drain(0);
  });
  const transport = createConnectTransport({ baseUrl: url, httpVersion: "2" });
  const advance = (ms: number) => {
    ahead += ms;
  };
  return { ...rest, url, advance, client: createClient(DataProxyService, transport) };
}

async function parts(t: TestContext, signer: UrlSigner, options: FixtureOptions) {
  const folder = await mkdtemp(join(tmpdir(), "flyte-ts-data-proxy-"));
  const objects = await openFileStore({
    folder: join(folder, "objects"),
    root: "s3://flyte-data",
    sync: "none",
    signer,
  });
  const logs = logStore({ objectStore: objects, clock: systemClock, log: silent });
  const stop = new AbortController();
  const running = logs.run(stop.signal);
  t.after(async () => {
    stop.abort();
    await running;
    await objects.close();
    await rm(folder, { recursive: true, force: true });
  });
  const actions = new Map<string, ActionRecord>();
  const tasks = new Map<string, TaskSpec>();
  const directory: ActionDirectory = {
    async requireProject(project, domain) {
      if (project !== "p" || domain !== "development") missing(`project ${project}/${domain}`);
    },
    async action({ name }) {
      return actions.get(name) ?? missing(`action ${name}`);
    },
    async taskSpec({ name }) {
      return tasks.get(name) ?? missing(`task ${name}`);
    },
  };
  const service = dataProxyService({ directory, objects, logs: options.logs ?? logs, limits: options.limits ?? {} });
  const routes = (router: ConnectRouter) => void router.service(DataProxyService, service);
  return { objects, logs, folder, actions, tasks, routes };
}

function missing(what: string): never {
  throw notFound(`${what} does not exist`);
}

/** Says what would be signed. */
const plainSigner: UrlSigner = {
  upload: (uri, { expiresInSeconds, contentMd5 }) => ({
    url: `http://store/put?uri=${encodeURIComponent(uri)}&life=${expiresInSeconds}`,
    headers: { ...(contentMd5 && { "Content-MD5": Buffer.from(contentMd5).toString("base64") }) },
    expiresAt: new Date(expiresInSeconds * 1000),
  }),
  download: (uri, { expiresInSeconds, contentType, fileName }) => ({
    url: `http://store/get?${new URLSearchParams({ uri, life: String(expiresInSeconds), type: contentType ?? "", file: fileName ?? "" })}`,
    expiresAt: new Date(expiresInSeconds * 1000),
  }),
};

export function actionId(name: string): ActionIdentifier {
  return create(ActionIdentifierSchema, { run: { project: "p", domain: "development", name: "r1" }, name });
}

/** A running task action in its first attempt without data; override what matters. */
export function actionRecord(overrides: Partial<ActionRecord> = {}): ActionRecord {
  return {
    kind: "task",
    inputsUri: "",
    outputsUri: "",
    attempts: 1,
    attemptUri: (attempt) => `s3://flyte-data/p/development/r1/a0/${attempt}`,
    terminal: false,
    taskSpec: async () => undefined,
    ...overrides,
  };
}

/** For assert.rejects: a wire error of this code whose message matches. */
export function wireError(code: Code, message: RegExp = /./): (error: unknown) => boolean {
  return (error) => {
    if (error instanceof ConnectError && error.code === code && message.test(error.rawMessage)) return true;
    throw error;
  };
}
