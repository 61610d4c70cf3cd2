/** One machine for tests: a data folder, a file store, an executor with the process plugin, a scripted control plane. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { systemClock } from "@flyte-ts/core";
import { type FileStore, openFileStore } from "@flyte-ts/platform/object-store";
import { executor, type Log, memoryActionStore } from "../../../executor/index.ts";
import { silentLog } from "../../../executor/log.ts";
import {
  type ScriptedControlPlane,
  scriptedControlPlane,
  type Told,
} from "../../../executor/testing/scripted-control-plane.ts";
import { type LogStore, logStore } from "../../../logs/index.ts";
import { processPlugin } from "../index.ts";

export interface Host extends AsyncDisposable {
  plane: ScriptedControlPlane;
  objectStore: FileStore;
  logs: LogStore;
  dataDir: string;
  connected(): Promise<void>;
  released(key: string): Promise<Told>;
  /** The folder of the attempt is removed. */
  gone(key: string): Promise<void>;
  eventually(condition: () => boolean): Promise<void>;
  logText(attemptUri: string): Promise<string>;
}

export interface HostOptions {
  dataDir?: string;
  python?: string;
  environment?: Record<string, string>;
  log?: Log;
  wrap?(store: FileStore): FileStore;
}

/** A host on a new data folder, or on one that an earlier host has used; the folder goes with the test. */
export async function host(t: TestContext, options: HostOptions = {}): Promise<Host> {
  if (options.dataDir) return startHost(options.dataDir, options);
  const dataDir = await mkdtemp(join(tmpdir(), "flyte-ts-process-"));
  t.after(() => rm(dataDir, { recursive: true, force: true }));
  return startHost(dataDir, options);
}

export async function startHost(dataDir: string, options: HostOptions = {}): Promise<Host> {
  const files = await openFileStore({ folder: join(dataDir, "objects"), root: "s3://flyte-data", sync: "none" });
  const objectStore = options.wrap ? options.wrap(files) : files;
  const log = options.log ?? silentLog;
  const logs = logStore({ objectStore, clock: systemClock, log });
  const plane = scriptedControlPlane();
  const store = memoryActionStore();
  const stop = new AbortController();
  const done = executor({
    cluster: "embedded",
    link: plane.link,
    store,
    plugins: [
      processPlugin({
        dataDir,
        objectStore,
        logs,
        log,
        taskEnvironment: () => ({ _U_EP_OVERRIDE: "localhost:1", ...options.environment }),
        graceMs: 300,
        ...(options.python ? { python: options.python } : {}),
      }),
    ],
    log,
    slots: 4,
  }).run(stop.signal);

  async function eventually(condition: () => boolean | Promise<boolean>): Promise<void> {
    while (!(await condition())) await delay(10);
  }

  return {
    plane,
    objectStore,
    logs,
    dataDir,
    connected: () => eventually(() => plane.requests.length > 0),
    async released(key) {
      await plane.until(() => plane.told(key).released);
      return plane.told(key);
    },
    gone: (key) => eventually(async () => (await store.get(key)) === undefined),
    eventually,
    async logText(attemptUri) {
      let text = "";
      for await (const { lines } of logs.tail({ attemptUri })) for (const line of lines) text += line.message;
      return text;
    },
    async [Symbol.asyncDispose]() {
      stop.abort();
      await done;
      await files.close();
    },
  };
}
