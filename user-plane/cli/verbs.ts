/**
 * The verbs there are: every file in `verbs/`. Adding one is adding a file.
 */
import { readdir } from "node:fs/promises";
import type { Verb } from "./verb.ts";

const FOLDER = new URL("./verbs/", import.meta.url);

/** Names of all verbs, sorted. */
export async function verbNames(): Promise<string[]> {
  const files = await readdir(FOLDER);
  return files
    .filter((file) => file.endsWith(".ts") && !file.endsWith(".test.ts"))
    .map((file) => file.slice(0, -".ts".length))
    .sort();
}

/** Loads one verb; only the one that runs is loaded, so a heavy verb does not slow down the others. */
export async function loadVerb(name: string): Promise<Verb> {
  const module: { verb?: Verb } = await import(new URL(`${name}.ts`, FOLDER).href);
  if (module.verb?.name !== name) throw new Error(`user-plane/cli/verbs/${name}.ts must export a verb named "${name}"`);
  return module.verb;
}

/** All verbs; for the overview. */
export async function allVerbs(): Promise<Verb[]> {
  return Promise.all((await verbNames()).map(loadVerb));
}

/** The name that was most likely meant, or undefined when none is near. */
export function nearest(word: string, names: readonly string[]): string | undefined {
  const near = names
    .map((name) => ({ name, distance: name.startsWith(word) ? 0 : editDistance(word, name) }))
    .sort((a, b) => a.distance - b.distance)[0];
  return near !== undefined && near.distance <= Math.max(1, Math.floor(near.name.length / 3)) ? near.name : undefined;
}

/** How many characters must be inserted, removed or replaced to make `b` from `a`. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
