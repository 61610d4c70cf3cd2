/** Brings files to the object store: as streams, in parts where they are large, again where it broke off. */
import { createReadStream } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { ObjectStore } from "@flyte-ts/platform/object-store";
import { all, limiter } from "./at-once.ts";
import { look } from "./paths.ts";
import { type Patience, patiently } from "./patience.ts";
import { unstageable } from "./staging-error.ts";

export interface FileTarget {
  store: Pick<ObjectStore, "put">;
  patience: Patience | undefined;
  /** Of the output, as messages quote it. */
  name: string;
  /** The folder that no link may lead out of. */
  root: string;
}

/** A store buffers several parts of a large file: those go one by one, small ones side by side. */
const SMALL_BYTES = 4 << 20;
const SMALL_AT_ONCE = 8;

export async function storeFile(target: FileTarget, path: string, size: number, uri: string): Promise<void> {
  // A new stream for each try.
  await patiently(target.patience, () => target.store.put(uri, size === 0 ? new Uint8Array() : createReadStream(path)));
}

/** With all that is below it; an empty folder leaves nothing behind. */
export async function storeFolder(target: FileTarget, folder: string, uri: string): Promise<void> {
  const small = limiter(SMALL_AT_ONCE);
  const uploads: Promise<void>[] = [];
  try {
    for await (const file of filesBelow(target, folder)) {
      const to = `${uri}/${file.name}`;
      if (file.size > SMALL_BYTES) await storeFile(target, file.path, file.size, to);
      else uploads.push(small(() => storeFile(target, file.path, file.size, to)));
    }
    await all(uploads);
  } finally {
    await Promise.allSettled(uploads);
  }
}

async function* filesBelow(
  target: FileTarget,
  folder: string,
  prefix = "",
  above: readonly string[] = [],
): AsyncGenerator<{ path: string; name: string; size: number }> {
  for (const entry of (await readdir(folder)).sort()) {
    const found = await look(target.root, join(folder, entry));
    const name = prefix + entry;
    const what = `\`${name}\` in its output \`${target.name}\``;
    switch (found.kind) {
      case "file":
        yield { path: found.path, name, size: found.size };
        break;
      case "folder":
        if (found.path === folder || above.includes(found.path)) {
          throw unstageable(`${what} is a link to a folder that holds it`, "OutputInvalid");
        }
        yield* filesBelow(target, found.path, `${name}/`, [...above, folder]);
        break;
      case "unusable":
        throw unstageable(`${what} cannot be taken: ${found.why}`, "OutputInvalid");
      case "none":
        throw unstageable(`${what} is a link that leads nowhere`, "OutputInvalid");
    }
  }
}
