/** The real connector service, an executor with the plugin, and a file store; jobs are driven through files. */
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import type { TaskTemplate, TaskTemplateSchema } from "@flyte-ts/contract/flyteidl2/core/tasks_pb.ts";
import { ClusterEventSchema } from "@flyte-ts/contract/flyteidl2/workflow/run_definition_pb.ts";
import { openFileStore } from "@flyte-ts/platform/object-store";
import type { z } from "zod";
import { executor, memoryActionStore, type Plugin } from "../../../executor/index.ts";
import { silentLog } from "../../../executor/log.ts";
import { type LeaseParts, leaseOf } from "../../../executor/testing/leases.ts";
import { scriptedControlPlane, type Told } from "../../../executor/testing/scripted-control-plane.ts";
import { testPython } from "../../process/testing/python.ts";
import { connectorConfig } from "../config.ts";
import { type ConnectorOptions, connectorPlugin } from "../plugin.ts";
import { type ConnectorService, connectorService, type ServiceOptions, until } from "./connector-service.ts";

export type Template = Partial<Omit<Exclude<MessageInitShape<typeof TaskTemplateSchema>, TaskTemplate>, "$typeName">>;
type Config = Partial<z.input<typeof connectorConfig>>;

export interface Rig extends AsyncDisposable {
  readonly service: ConnectorService;
  /** The folder of the job files. */
  readonly jobs: string;
  /** The folder of the object store. */
  readonly storeFolder: string;
  readonly objectStore: Awaited<ReturnType<typeof openFileStore>>;
  readonly secrets: Map<string, string>;
  /** What a job's connector wrote about it; undefined if nothing. */
  read(file: string): Promise<string | undefined>;
  /** As above, once it is there. */
  json(file: string): Promise<Record<string, unknown>>;
  write(file: string, value: string | object): Promise<void>;
  remove(file: string): Promise<void>;
  /** An executor; several one after the other are restarts. */
  start(parts?: StartParts): Running;
}

export interface StartParts {
  config?: Config;
  /** In place of the one that is reached at the service's endpoint. */
  connectors?: z.input<typeof connectorConfig>[];
  options?: Partial<ConnectorOptions>;
  others?: Plugin[];
  plane?: ReturnType<typeof scriptedControlPlane>;
  store?: ReturnType<typeof memoryActionStore>;
}

export interface Running extends AsyncDisposable {
  readonly plane: ReturnType<typeof scriptedControlPlane>;
  readonly store: ReturnType<typeof memoryActionStore>;
  stop(): Promise<void>;
}

/** Short waits: a test is not to take longer than what it waits for. */
const QUICK: Config = {
  insecure: true,
  pollFirstMs: 20,
  pollMaxMs: 50,
  refreshMs: 100,
  awayFirstMs: 20,
  awayMaxMs: 100,
  callsPerSecond: 1000,
};

export async function rig(serviceOptions: Partial<ServiceOptions> = {}): Promise<Rig> {
  const python = testPython();
  if (!python) throw new Error("no Python with the Flyte SDK");
  const folder = await mkdtemp(join(tmpdir(), "flyte-ts-connector-"));
  const jobs = join(folder, "jobs");
  await mkdir(jobs);
  const objectStore = await openFileStore({ folder: join(folder, "store"), root: "s3://flyte-data", sync: "none" });
  const service = await connectorService({ python, jobs, ...serviceOptions });
  const secrets = new Map<string, string>();
  const read = (file: string) => readFile(join(jobs, file), "utf8").catch(() => undefined);

  return {
    service,
    jobs,
    storeFolder: join(folder, "store"),
    objectStore,
    secrets,
    read,
    async json(file) {
      await until(() => existsSync(join(jobs, file)));
      return JSON.parse(await readFile(join(jobs, file), "utf8"));
    },
    async write(file, value) {
      const part = join(jobs, `.${file}.part`);
      await writeFile(part, typeof value === "string" ? value : JSON.stringify(value));
      await rename(part, join(jobs, file));
    },
    remove: (file) => rm(join(jobs, file), { force: true }),
    start({
      config,
      connectors,
      options,
      others = [],
      plane = scriptedControlPlane(),
      store = memoryActionStore(),
    } = {}) {
      const configs = connectors ?? [{ endpoint: service.endpoint, ...config }];
      const plugin = connectorPlugin({
        connectors: configs.map((one) => connectorConfig.parse({ ...QUICK, ...one })),
        objectStore,
        secrets: {
          read: async (_scope, refs) =>
            refs.map(({ group, key }) => {
              const value = secrets.get(group === "" ? key : `${group}/${key}`);
              return value === undefined ? undefined : Buffer.from(value);
            }),
        },
        taskEnvironment: () => ({ _U_EP_OVERRIDE: "http://flyte.test" }),
        log: silentLog,
        ...options,
      });
      const stop = new AbortController();
      const done = executor({
        cluster: "east",
        link: plane.link,
        store,
        plugins: [plugin, ...others],
        log: silentLog,
        slots: 100,
        backoff: { firstMs: 1, maxMs: 50 },
      }).run(stop.signal);
      const end = async () => {
        stop.abort();
        await done;
      };
      return { plane, store, stop: end, [Symbol.asyncDispose]: end };
    },
    async [Symbol.asyncDispose]() {
      await service.kill();
      await objectStore.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** A task for the connector; its job is called `<name>-0`. */
export function jobLease(name: string, template: Template = {}, parts: LeaseParts = {}) {
  return leaseOf({ name, taskType: "test_job", template: { type: "test_job", ...template }, ...parts });
}

export function eventsIn({ reports }: Told): { reason: string; message: string }[] {
  return reports.flatMap(({ clusterEvents }) => clusterEvents.map((bytes) => fromBinary(ClusterEventSchema, bytes)));
}

export const reasonsIn = (told: Told) => eventsIn(told).map(({ reason }) => reason);
