/**
 * The folders of all attempts: removed when an attempt is over and its log is safe, and cleaned of what no lease
 * accounts for any more.
 */
import { readdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type AttemptFolder, attemptFolder, readLaunch, removeFolder } from "./attempt-folder.ts";
import type { ProcessOptions } from "./options.ts";
import { processesWith, signalProcess } from "./process-table.ts";

export interface Folders {
  readonly root: string;
  /** The control plane has the end of the attempt. */
  retire(folder: AttemptFolder): Promise<void>;
  /** The log is in the object store. */
  logStored(folder: AttemptFolder): void;
  /** Ends processes of attempts that are not held, stores their logs, removes their folders. */
  sweep(isHeld: (key: string) => Promise<boolean>): Promise<void>;
}

export function folders({ dataDir, logs, log, keepFolders }: ProcessOptions): Folders {
  const root = join(dataDir, "attempts");
  /** One of the two conditions for removal is met. */
  const half = new Set<string>();

  async function settle(folder: AttemptFolder): Promise<void> {
    if (!half.delete(folder.path)) {
      half.add(folder.path);
      return;
    }
    await remove(folder);
  }

  async function remove(folder: AttemptFolder): Promise<void> {
    try {
      if (keepFolders) await writeFile(join(folder.path, "done"), "");
      else await removeFolder(folder.path);
    } catch (error) {
      log.warn({ folder: folder.path, err: error }, "the folder of an ended attempt could not be removed");
    }
  }

  async function* all(): AsyncGenerator<{ key: string; folder: AttemptFolder }> {
    for (const run of await names(root)) {
      for (const action of await names(join(root, run))) {
        for (const attempt of await names(join(root, run, action))) {
          const key = keyOf([run, action, attempt]);
          if (key === undefined) continue;
          const folder = attemptFolder(root, key);
          if (!(await exists(join(folder.path, "done")))) yield { key, folder };
        }
      }
    }
  }

  async function clear(key: string, folder: AttemptFolder): Promise<void> {
    const launch = await readLaunch(folder);
    const left = launch ? await processesWith(launch.token) : [];
    if (left.length > 0)
      log.warn({ attempt: key, pids: left }, "processes of an attempt that is not ours any more are ended");
    for (const pid of left) signalProcess(pid, "SIGKILL");
    if (!launch || !(await exists(folder.log))) {
      await remove(folder);
      return;
    }
    await logs.follow(launch.attemptUri, folder.log);
    await logs.finish(launch.attemptUri, () => void remove(folder));
  }

  return {
    root,
    async retire(folder) {
      // An attempt that never started has no log to wait for.
      if (await exists(folder.launch)) await settle(folder);
      else await remove(folder);
    },
    logStored: (folder) => void settle(folder),
    async sweep(isHeld) {
      for await (const { key, folder } of all()) {
        if (half.has(folder.path) || (await isHeld(key))) continue;
        try {
          await clear(key, folder);
        } catch (error) {
          log.warn({ attempt: key, err: error }, "what an earlier lease left on this machine could not be removed");
        }
      }
    },
  };
}

/** Undefined for a folder that is none of ours. */
function keyOf(path: readonly string[]): string | undefined {
  try {
    return path.map(decodeURIComponent).join("/");
  } catch {
    return undefined;
  }
}

async function names(path: string): Promise<string[]> {
  return readdir(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw error;
  });
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}
