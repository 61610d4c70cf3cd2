/** Names of inputs and outputs as files below a folder: none leads out of it. */
import { realpath, stat } from "node:fs/promises";
import { join, sep } from "node:path";
import { unstageable } from "./staging-error.ts";

/** Names come from the task: one path segment, whatever they hold. */
export function fileOf(folder: string, name: string): string {
  if (name === "" || name === "." || name === ".." || /[/\0]/.test(name)) {
    throw unstageable(`\`${name}\` cannot be the name of a file for an input or output`);
  }
  return join(folder, name);
}

export type Found =
  | { kind: "none" }
  | { kind: "file"; path: string; size: number }
  | { kind: "folder"; path: string }
  | { kind: "unusable"; why: string };

/**
 * What a task left. Its links are followed within the folder only: what they name elsewhere (the environment of this very
 * process, for one) is not the task's to give away.
 */
export async function look(root: string, path: string): Promise<Found> {
  let real: string;
  try {
    real = await realpath(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return { kind: "none" };
    if ((error as NodeJS.ErrnoException).code === "ELOOP") return { kind: "unusable", why: "it is a link to itself" };
    throw error;
  }
  if (!real.startsWith((await realpath(root)) + sep)) {
    return { kind: "unusable", why: "it is a link that leads out of the folder of outputs: copy what it names" };
  }
  const about = await stat(real);
  if (about.isFile()) return { kind: "file", path: real, size: about.size };
  if (about.isDirectory()) return { kind: "folder", path: real };
  return { kind: "unusable", why: "it is no ordinary file" };
}
