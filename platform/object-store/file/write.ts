/**
 * Writing one object: content and trailer into a temporary file, flushed, then moved to its name in one step.
 * Whatever fails on the way (body, digest, disk), the temporary file goes and the old object stays.
 */
import { createHash, type Hash } from "node:crypto";
import { type FileHandle, link, open, rename, rm, unlink } from "node:fs/promises";
import { dirname } from "node:path";
import { ContentMismatchError, ObjectExistsError, StoreUnavailableError } from "../errors.ts";
import type { ObjectBody, PutOptions, PutResult } from "../object-store.ts";
import { errorCode, type Layout } from "./layout.ts";
import { type ObjectInfo, writeTrailer } from "./trailer.ts";

/**
 * What a finished write survives: `none` the death of this process, `data` also a power cut for the content (the name
 * may be lost for the file system's commit interval, never half an object), `full` a power cut altogether.
 */
export type Sync = "none" | "data" | "full";

/** Where the ETag comes from: the MD5 of what is written, or a function asked after the last byte. */
export type EtagSource = "md5" | (() => string);

/** Bytes handed to the system at once. */
const BATCH = 512 * 1024;

export interface WriteOptions extends PutOptions {
  readonly etag?: EtagSource;
  readonly uploadId?: string;
  /** Asked after the last byte, before anything becomes visible; throws to refuse. */
  readonly verify?: (size: number) => void;
}

/** Writes an object and makes it visible. */
export async function writeObject(
  layout: Layout,
  sync: Sync,
  uri: string,
  body: ObjectBody,
  options: WriteOptions = {},
): Promise<PutResult> {
  const path = layout.objectPath(uri);
  return viaTemp(layout, sync, uri, body, options, async (temp) => {
    await commit(layout, uri, temp, path, options.ifAbsent === true);
    if (sync === "full") await syncDirectory(dirname(path));
  });
}

/** Writes a file that is only a part of an object to come; its directory must exist. */
export async function writePart(
  layout: Layout,
  uri: string,
  path: string,
  body: ObjectBody,
  options: WriteOptions,
): Promise<PutResult> {
  return viaTemp(layout, "none", uri, body, options, (temp) => rename(temp, path));
}

async function viaTemp(
  layout: Layout,
  sync: Sync,
  uri: string,
  body: ObjectBody,
  options: WriteOptions,
  publish: (temp: string) => Promise<void>,
): Promise<PutResult> {
  const temp = layout.temp();
  const file = await openTemp(temp, uri);
  try {
    let result: PutResult;
    try {
      result = await fill(file, uri, body, options);
      if (sync !== "none") await file.datasync();
    } finally {
      await file.close();
    }
    await publish(temp);
    return result;
  } catch (error) {
    await rm(temp, { force: true });
    throw error;
  }
}

/** Opens a new temporary file. */
async function openTemp(path: string, uri: string): Promise<FileHandle> {
  try {
    return await open(path, "wx", 0o600);
  } catch (error) {
    if (errorCode(error) !== "ENOENT") throw error;
    throw new StoreUnavailableError(uri, `the folder ${dirname(path)} was removed: restart the server`, {
      cause: error,
    });
  }
}

/** Writes all of `data`, however the system splits it. */
async function writeAll(file: FileHandle, data: Uint8Array): Promise<void> {
  let offset = 0;
  while (offset < data.length) offset += (await file.write(data, offset, data.length - offset)).bytesWritten;
}

async function fill(file: FileHandle, uri: string, body: ObjectBody, options: WriteOptions): Promise<PutResult> {
  const { contentMd5, contentType, metadata, uploadId, etag: source = "md5" } = options;
  const hash: Hash | undefined = source === "md5" || contentMd5 !== undefined ? createHash("md5") : undefined;
  let size = 0;
  let small: Uint8Array | undefined;
  if (body instanceof Uint8Array) {
    hash?.update(body);
    size = body.length;
    // A small object and its trailer go out in one write.
    if (size <= 64 * 1024) small = body;
    else await writeAll(file, body);
  } else {
    size = await writeStream(file, body, hash);
  }
  const md5 = hash?.digest();
  if (contentMd5 !== undefined && md5?.equals(contentMd5) !== true) throw new ContentMismatchError(uri, "Content-MD5");
  options.verify?.(size);
  const etag = source === "md5" ? (md5 as Buffer).toString("hex") : source();
  const hasMetadata = metadata !== undefined && Object.keys(metadata).length > 0;
  const info: ObjectInfo = {
    size,
    etag,
    ...(contentType !== undefined && { contentType }),
    ...(hasMetadata && { metadata }),
    ...(uploadId !== undefined && { uploadId }),
  };
  const trailer = writeTrailer(info);
  await writeAll(file, small === undefined ? trailer : Buffer.concat([small, trailer]));
  return { etag, size };
}

/** Writes chunks in batches, one being written while the next one arrives and is hashed. */
async function writeStream(file: FileHandle, body: AsyncIterable<Uint8Array>, hash: Hash | undefined): Promise<number> {
  let size = 0;
  let batch: Uint8Array[] = [];
  let batched = 0;
  let writing: Promise<void> = Promise.resolve();
  const flush = async () => {
    await writing;
    const chunks = batch;
    [batch, batched] = [[], 0];
    writing = writeChunks(file, chunks);
    // Noticed by whoever awaits it next; until then it must not count as unhandled.
    writing.catch(() => {});
  };
  try {
    for await (const chunk of body) {
      hash?.update(chunk);
      size += chunk.length;
      batched += chunk.length;
      batch.push(chunk);
      if (batched >= BATCH) await flush();
    }
    await flush();
  } finally {
    // The file must not be closed under a write.
    await writing;
  }
  return size;
}

async function writeChunks(file: FileHandle, chunks: readonly Uint8Array[]): Promise<void> {
  const total = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
  if (total === 0) return;
  const { bytesWritten } = await file.writev(chunks);
  // The system took less than all: the rest is joined and written the plain way.
  if (bytesWritten < total) await writeAll(file, Buffer.concat(chunks).subarray(bytesWritten));
}

async function commit(layout: Layout, uri: string, temp: string, path: string, ifAbsent: boolean): Promise<void> {
  await layout.guard(uri, path);
  // A delete may prune the directory between making it and moving into it; a few rounds settle that.
  for (let round = 0; ; round++) {
    try {
      if (ifAbsent) await link(temp, path);
      else await rename(temp, path);
      break;
    } catch (error) {
      if (ifAbsent && errorCode(error) === "EEXIST") throw new ObjectExistsError(uri, { cause: error });
      if (errorCode(error) !== "ENOENT" || round === 10) throw error;
      await layout.makeParents(uri, path);
    }
  }
  if (ifAbsent) await unlink(temp);
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
