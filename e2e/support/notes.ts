/** What tasks wrote into a shared folder: one line for each execution, in a file for each task. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

export async function notesIn(folder: string): Promise<Record<string, string[]>> {
  const files = await readdir(folder);
  const texts = await Promise.all(files.map((file) => readFile(join(folder, file), "utf8")));
  return Object.fromEntries(files.map((file, i) => [file, (texts[i] ?? "").split("\n").filter(Boolean)]));
}

/** How many executions each file tells of. */
export async function executionsIn(folder: string): Promise<Record<string, number>> {
  return Object.fromEntries(Object.entries(await notesIn(folder)).map(([file, lines]) => [file, lines.length]));
}
