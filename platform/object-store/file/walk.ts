/**
 * Keys of a bucket in byte order, a directory at a time: memory holds the names of the directories on the way down,
 * never the bucket. Whole subtrees outside the prefix, before the starting point, or folded into a common prefix are
 * not read.
 */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { type Entry, fromBytes, readEntry, toBytes } from "./key-path.ts";
import { errorCode } from "./layout.ts";

export interface WalkOptions {
  /** Only keys that begin with it. */
  readonly prefix: string;
  /** Only keys that sort after it. */
  readonly after?: string;
  readonly delimiter?: string;
}

/** A key, or a group of keys folded at the delimiter. */
export type Walked = { readonly key: string } | { readonly prefix: string };

/** Walks a bucket's directory in order. */
export async function* walk(directory: string, options: WalkOptions): AsyncGenerator<Walked> {
  const prefix = toBytes(options.prefix);
  const delimiter = options.delimiter ? toBytes(options.delimiter) : undefined;
  let after = options.after === undefined ? "" : toBytes(options.after);
  // Keys that begin with it are done: a folded group, also one that an earlier page has answered.
  let skip: string | undefined = delimiter === undefined ? undefined : groupOf(after);
  yield* level(directory, "");

  async function* level(path: string, base: string): AsyncGenerator<Walked> {
    for (const { entry, name } of await entriesOf(path)) {
      const bytes = base + entry.bytes;
      if (skip !== undefined && bytes.startsWith(skip)) continue;
      if (entry.kind === "folder") {
        if (!bytes.startsWith(prefix) && !prefix.startsWith(bytes)) continue;
        if (bytes < after && !after.startsWith(bytes)) continue;
        yield* level(join(path, name), bytes);
        continue;
      }
      if (!bytes.startsWith(prefix) || bytes <= after) continue;
      const group = groupOf(bytes);
      if (group === undefined) {
        yield { key: fromBytes(bytes) };
      } else {
        skip = group;
        after = group;
        yield { prefix: fromBytes(group) };
      }
    }
  }

  function groupOf(bytes: string): string | undefined {
    if (delimiter === undefined || !bytes.startsWith(prefix)) return undefined;
    const at = bytes.indexOf(delimiter, prefix.length);
    return at < 0 ? undefined : bytes.slice(0, at + delimiter.length);
  }
}

async function entriesOf(path: string): Promise<{ entry: Entry; name: string }[]> {
  const entries: { entry: Entry; name: string }[] = [];
  try {
    for (const dirent of await readdir(path, { withFileTypes: true })) {
      if (!dirent.isFile() && !dirent.isDirectory()) continue;
      const entry = readEntry(dirent.name, dirent.isDirectory());
      if (entry !== undefined) entries.push({ entry, name: dirent.name });
    }
  } catch (error) {
    // Pruned while we walked: it holds nothing now.
    if (errorCode(error) !== "ENOENT") throw error;
  }
  return entries.sort((a, b) => (a.entry.bytes < b.entry.bytes ? -1 : 1));
}
