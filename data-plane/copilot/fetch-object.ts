/** Brings an object, or all that is below a prefix, to the disk: as a stream, and on from where it broke off. */
import { type FileHandle, mkdir, open } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { ObjectStore } from "@flyte-ts/platform/object-store";
import { type Patience, patiently } from "./patience.ts";
import { unstageable } from "./staging-error.ts";

/** For whoever runs as whichever user in the task's container; the umask may take from it. */
const EVERYBODY = 0o666;

/** Writes one object to a file; returns its size. */
export async function fetchObject(
  store: Pick<ObjectStore, "stream">,
  uri: string,
  path: string,
  patience: Patience | undefined,
): Promise<number> {
  const file = await open(path, "w", EVERYBODY);
  try {
    let at = 0;
    let etag: string | undefined;
    await patiently(patience, async (progress) => {
      let stream = await store.stream(uri, at > 0 ? { start: at } : undefined);
      if (etag !== undefined && stream.etag !== etag) {
        // Replaced meanwhile: what is here is of the object before.
        await stream.close();
        await file.truncate();
        at = 0;
        stream = await store.stream(uri);
      }
      etag = stream.etag;
      for await (const chunk of stream.body) {
        await writeAt(file, chunk, at);
        at += chunk.length;
        progress();
      }
    });
    return at;
  } finally {
    await file.close();
  }
}

async function writeAt(file: FileHandle, chunk: Uint8Array, at: number): Promise<void> {
  for (let done = 0; done < chunk.length; ) {
    done += (await file.write(chunk, done, chunk.length - done, at + done)).bytesWritten;
  }
}

/** Every object below `uri`, with the path that it has below it. */
export async function* below(
  store: Pick<ObjectStore, "list">,
  uri: string,
  patience: Patience | undefined,
): AsyncGenerator<{ uri: string; path: string }> {
  const prefix = `${uri.replace(/\/+$/, "")}/`;
  let after: string | undefined;
  do {
    const page = await patiently(patience, () => store.list(prefix, after === undefined ? {} : { after }));
    for (const object of page.objects) yield { uri: object.uri, path: object.uri.slice(prefix.length) };
    after = page.next;
  } while (after !== undefined);
}

/** The file below a folder for an object's path; undefined for the markers with which some tools make folders. */
export async function placeFor(folder: string, path: string): Promise<string | undefined> {
  const segments = path.split("/");
  const marker = segments.at(-1) === "";
  const names = marker ? segments.slice(0, -1) : segments;
  if (names.some((name) => name === "" || name === "." || name === ".." || name.includes("\0"))) {
    throw unstageable(`the object's name \`${path}\` cannot be the name of a file`);
  }
  const place = join(folder, ...names);
  await mkdir(marker ? place : dirname(place), { recursive: true });
  return marker ? undefined : place;
}
