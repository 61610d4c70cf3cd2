/**
 * Uploads in parts, for the embedded endpoint: each part is a file of its own, so parts may come in any order, at the
 * same time and again; completion joins them into one object in one rename. Uploads outlive a restart; the ones without
 * activity for a day are swept.
 */
import { createHash, randomBytes } from "node:crypto";
import { mkdir, open, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ObjectExistsError } from "../errors.ts";
import type { ObjectBody, PutResult } from "../object-store.ts";
import type { FileStore } from "./file-store.ts";
import { errorCode, toStoreError } from "./layout.ts";
import { readTail } from "./trailer.ts";
import { type WriteOptions, writePart } from "./write.ts";

/** What the object will be, fixed when its upload begins. */
export interface UploadTarget {
  readonly uri: string;
  readonly contentType?: string;
  readonly metadata?: Readonly<Record<string, string>>;
}

export interface PartRef {
  readonly number: number;
  readonly etag: string;
}

/** Why an upload could not go on; the endpoint has a code for each. */
export type UploadProblem = "no_such_upload" | "invalid_part";

export class UploadError extends Error {
  readonly problem: UploadProblem;

  constructor(problem: UploadProblem, message: string) {
    super(message);
    this.name = "UploadError";
    this.problem = problem;
  }
}

export interface Multipart {
  begin(target: UploadTarget): Promise<string>;
  putPart(uri: string, id: string, number: number, body: ObjectBody, options: WriteOptions): Promise<PutResult>;
  /** Parts in order, with the ETags their puts have answered. */
  complete(
    uri: string,
    id: string,
    parts: readonly PartRef[],
    options?: { readonly ifAbsent?: boolean },
  ): Promise<PutResult>;
  abort(uri: string, id: string): Promise<void>;
  /** Removes uploads without activity since `before`; says how many. */
  sweep(before: Date): Promise<number>;
}

/** Multipart uploads into a file store. */
export function multipart(store: FileStore): Multipart {
  const { layout } = store;
  const folderOf = (id: string) => {
    if (!/^[0-9a-f]{32}$/.test(id)) throw gone();
    return join(layout.uploads, id);
  };
  const partPath = (folder: string, number: number) => join(folder, `part-${number}`);

  async function target(uri: string, id: string): Promise<UploadTarget> {
    try {
      const found = JSON.parse(await readFile(join(folderOf(id), "upload.json"), "utf8")) as UploadTarget;
      if (found.uri === uri) return found;
    } catch (error) {
      if (errorCode(error) !== "ENOENT") throw toStoreError(error, uri, layout.folder);
    }
    throw gone();
  }

  async function* joined(uri: string, folder: string, parts: readonly PartRef[]): AsyncGenerator<Uint8Array> {
    for (const part of parts) {
      const file = await open(partPath(folder, part.number), "r").catch((error: unknown) => {
        throw errorCode(error) === "ENOENT" ? missing(part) : toStoreError(error, uri, layout.folder);
      });
      try {
        const tail = await readTail(file, (await file.stat()).size);
        if (tail === undefined || tail.info.etag !== part.etag) throw missing(part);
        for (let at = 0; at < tail.info.size; ) {
          const buffer = Buffer.allocUnsafeSlow(Math.min(1 << 20, tail.info.size - at));
          const { bytesRead } = await file.read(buffer, 0, buffer.length, at);
          if (bytesRead === 0) throw missing(part);
          at += bytesRead;
          yield buffer.subarray(0, bytesRead);
        }
      } finally {
        await file.close();
      }
    }
  }

  return {
    async begin(upload) {
      layout.objectPath(upload.uri);
      const id = randomBytes(16).toString("hex");
      // Made under a temporary name, so that an upload is there with its target or not at all.
      const temp = layout.temp();
      try {
        await mkdir(temp);
        await writeFile(join(temp, "upload.json"), JSON.stringify(upload));
        await rename(temp, folderOf(id));
      } catch (error) {
        await rm(temp, { recursive: true, force: true });
        throw toStoreError(error, upload.uri, layout.folder);
      }
      return id;
    },

    async putPart(uri, id, number, body, options) {
      await target(uri, id);
      try {
        // Parts need no flush of their own: the joined object is flushed before it is visible.
        return await writePart(layout, uri, partPath(folderOf(id), number), body, options);
      } catch (error) {
        throw errorCode(error) === "ENOENT" ? gone() : toStoreError(error, uri, layout.folder);
      }
    },

    async complete(uri, id, parts, options = {}) {
      const folder = folderOf(id);
      try {
        const { contentType, metadata } = await target(uri, id);
        const digest = createHash("sha256");
        for (const part of parts) digest.update(`${part.etag}\n`);
        const etag = `${digest.digest("hex").slice(0, 32)}-${parts.length}`;
        const result = await store.put(uri, joined(uri, folder, parts), {
          etag: () => etag,
          uploadId: id,
          ifAbsent: options.ifAbsent === true,
          ...(contentType !== undefined && { contentType }),
          ...(metadata !== undefined && { metadata }),
        });
        await rm(folder, { recursive: true, force: true });
        return result;
      } catch (error) {
        // The answer to an earlier completion may have been lost: the object remembers the upload it came from.
        const repeated = error instanceof UploadError || error instanceof ObjectExistsError;
        const done = repeated ? await store.head(uri) : undefined;
        if (done?.uploadId === id) return { etag: done.etag, size: done.size };
        throw error;
      }
    },

    async abort(uri, id) {
      await target(uri, id);
      await rm(folderOf(id), { recursive: true, force: true });
    },

    async sweep(before) {
      let swept = 0;
      for (const id of await readdir(layout.uploads)) {
        const folder = join(layout.uploads, id);
        // Each part's rename touches the folder.
        const stats = await stat(folder).catch(() => undefined);
        if (stats === undefined || stats.mtime >= before) continue;
        await rm(folder, { recursive: true, force: true });
        swept++;
      }
      return swept;
    },
  };
}

function gone(): UploadError {
  return new UploadError("no_such_upload", "the upload does not exist: it was completed, aborted or swept");
}

function missing(part: PartRef): UploadError {
  return new UploadError(
    "invalid_part",
    `part ${part.number} with ETag ${part.etag} was not received: upload it again`,
  );
}
