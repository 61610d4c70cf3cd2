/**
 * The end of a pod's task, told by the executor in a file: the task's exit code, once it is known. The file is there from
 * the beginning and empty; a kubelet replaces it as a whole.
 */
import { watch } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname } from "node:path";

/** For what no watch tells. */
const LOOK_MS = 5_000;

/** Undefined when the signal came first. */
export async function waitForExit(file: string, signal: AbortSignal): Promise<number | undefined> {
  let wake = () => {};
  const watcher = watch(dirname(file), () => wake());
  watcher.on("error", () => {});
  try {
    for (;;) {
      // Asked for before the look, so that nothing is missed in between.
      const changed = new Promise<void>((resolve) => {
        wake = resolve;
      });
      const code = await readExit(file);
      if (code !== undefined) return code;
      if (signal.aborted) return undefined;
      const timer = setTimeout(() => wake(), LOOK_MS);
      const aborted = () => wake();
      signal.addEventListener("abort", aborted, { once: true });
      await changed;
      signal.removeEventListener("abort", aborted);
      clearTimeout(timer);
    }
  } finally {
    watcher.close();
  }
}

async function readExit(file: string): Promise<number | undefined> {
  try {
    const text = (await readFile(file, "utf8")).trim();
    return /^\d+$/.test(text) ? Number(text) : undefined;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
