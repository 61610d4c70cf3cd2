/** The data plane beside the control plane in one process: executor, plugins, logs, data proxy. */
import { dirname } from "node:path";
import type { ConnectRouter } from "@connectrpc/connect";
import { DataProxyService } from "@flyte-ts/contract/flyteidl2/dataproxy/dataproxy_service_pb.ts";
import { systemClock } from "@flyte-ts/core";
import { type ActionDirectory, dataProxyService } from "@flyte-ts/data-plane/data-proxy";
import { type ControlLink, executor, inTurns, memoryActionStore } from "@flyte-ts/data-plane/executor";
import { logStore } from "@flyte-ts/data-plane/logs";
import { processPlugin } from "@flyte-ts/data-plane/plugins/process";
import { sleepPlugin } from "@flyte-ts/data-plane/plugins/sleep";
import type { ObjectStore } from "@flyte-ts/platform/object-store";
import type { Logger } from "@flyte-ts/platform/telemetry";
import { VERSION } from "./version.ts";

export interface DataPlaneOptions {
  link: ControlLink;
  directory: ActionDirectory;
  objects: ObjectStore;
  log: Logger;
  /** Attempts, bundles and the tasks' home. */
  workDir: string;
  python: string;
  slots: number;
  cluster: string;
  /** Unlike any other data directory's. */
  clusterUid: string;
  /** Endpoint and storage variables for tasks; asked for when one starts. */
  taskEnvironment(): Record<string, string>;
}

export interface DataPlane {
  routes(router: ConnectRouter): void;
  /** Works until `signal` is aborted; processes that run then go on and are adopted by the next server. */
  run(signal: AbortSignal): Promise<void>;
}

export function dataPlane(options: DataPlaneOptions): DataPlane {
  const { link, directory, objects, log, workDir, python, slots, cluster, clusterUid, taskEnvironment } = options;
  const logs = logStore({ objectStore: objects, clock: systemClock, log });

  /** Each turn begins anew from what the cluster holds. */
  const turn = (signal: AbortSignal) =>
    executor({
      cluster,
      clusterUid,
      kind: "embedded",
      version: VERSION,
      name: `${cluster}-${process.pid}`,
      link,
      store: memoryActionStore(),
      plugins: [
        sleepPlugin({ objectStore: objects }),
        processPlugin({ dataDir: workDir, objectStore: objects, logs, log, python, taskEnvironment }),
      ],
      log,
      slots,
      labels: { python: dirname(python) },
    }).run(signal);
  return {
    routes: (router) => void router.service(DataProxyService, dataProxyService({ directory, objects, logs })),
    run: inTurns({ link, log }, turn),
  };
}
