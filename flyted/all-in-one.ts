/**
 * Everything in one process: database, object store, control plane, executor, API. Parts are started in order and
 * stopped in reverse; when a start fails, those before it are stopped again.
 */
import { openDataDir } from "./data-dir.ts";
import { dataPlane } from "./data-plane.ts";
import { type FoundationOptions, layFoundation } from "./foundation.ts";
import { findPython } from "./python.ts";
import type { Served } from "./serve.ts";
import { background, stack } from "./stack.ts";
import { storeEnvironment, taskEndpoint } from "./task-environment.ts";

export interface Server extends Served {
  url: string;
  /** Stops accepting, lets calls finish, and leaves running tasks to the next server on the data directory. */
  stop(): Promise<void>;
}

export interface AllInOne extends Server {
  /** The interpreter that runs Python tasks. */
  python: string;
}

export async function startAllInOne(options: Omit<FoundationOptions, "dataDir">): Promise<AllInOne> {
  const { config, log } = options;
  const parts = stack();
  try {
    const python = await findPython(config.python);
    const dataDir = await openDataDir(config.dataDir);
    parts.push(() => dataDir.release());
    const { control, objects, url, listen } = await layFoundation({ ...options, dataDir }, parts);
    const data = dataPlane({
      link: control.link,
      directory: control.directory,
      objects,
      log,
      workDir: dataDir.attempts,
      python,
      slots: config.embedded.slots,
      cluster: config.embedded.cluster,
      clusterUid: dataDir.clusterUid,
      taskEnvironment: () => ({
        ...taskEndpoint(url()),
        ...storeEnvironment(
          config.objectStore.url
            ? config.objectStore
            : { endpoint: url(), region: "us-east-1", ...dataDir.credentials },
        ),
      }),
    });
    await listen((router) => {
      control.routes(router);
      data.routes(router);
    });
    const work = background(log, [control.run, data.run]);
    parts.push(work.stop);
    return { url: url(), python, failed: work.failed, stop: () => parts.unwind() };
  } catch (error) {
    await parts.unwind();
    throw error;
  }
}
