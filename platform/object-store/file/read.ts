/**
 * Reading one object from its file. The file is opened once, so a reader keeps the version it began with while others
 * replace or delete the object.
 */
import { constants, type Stats } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { ObjectTooLargeError, StoreUnavailableError } from "../errors.ts";
import type { ByteRange, ObjectHead, ObjectStream } from "../object-store.ts";
import { errorCode, type Layout } from "./layout.ts";
import { md5OfEtag, type ObjectInfo, readTail, type Tail } from "./trailer.ts";

const CHUNK = 256 * 1024;

/** An object's head with what only this adapter knows. */
export interface FileObjectHead extends ObjectHead {
  readonly uploadId?: string;
}

/** Head of an object, `undefined` when there is none. */
export async function headObject(layout: Layout, uri: string): Promise<FileObjectHead | undefined> {
  const opened = await openObject(layout, uri);
  if (opened === undefined) return undefined;
  await opened.file.close();
  return toHead(opened.tail.info, opened.stats);
}

/** Opens an object for reading; `undefined` when there is none. */
export async function streamObject(layout: Layout, uri: string, range?: ByteRange): Promise<ObjectStream | undefined> {
  const opened = await openObject(layout, uri);
  if (opened === undefined) return undefined;
  const { file, tail, stats } = opened;
  const { start, end } = clampRange(range, tail.info.size);
  let closed = false;
  const close = async () => {
    if (closed) return;
    closed = true;
    await file.close();
  };
  // All that was asked for came with the trailer: small objects need no second read and hold no descriptor.
  if (start >= tail.offset) await close();
  const body = start >= tail.offset ? one(tail.content.subarray(start - tail.offset, end - tail.offset)) : chunks();
  return { ...toHead(tail.info, stats), start, end, body, close };

  async function* chunks(): AsyncGenerator<Uint8Array> {
    try {
      for (let at = start; at < end; ) {
        const buffer = Buffer.allocUnsafeSlow(Math.min(CHUNK, end - at));
        const { bytesRead } = await file.read(buffer, 0, buffer.length, at);
        if (bytesRead === 0) throw new StoreUnavailableError(uri, "its file became shorter while it was read");
        at += bytesRead;
        yield buffer.subarray(0, bytesRead);
      }
    } finally {
      await close();
    }
  }
}

/** Collects a stream, refusing more than `maxBytes`. */
export async function collect(uri: string, stream: ObjectStream, maxBytes?: number): Promise<Uint8Array> {
  const length = stream.end - stream.start;
  if (maxBytes !== undefined && length > maxBytes) {
    await stream.close();
    throw new ObjectTooLargeError(uri, length, maxBytes);
  }
  const parts: Uint8Array[] = [];
  for await (const chunk of stream.body) parts.push(chunk);
  return parts.length === 1 ? (parts[0] as Uint8Array) : Buffer.concat(parts);
}

/** A requested range as `[start, end)` within `size` bytes; empty when it begins beyond the end. */
export function clampRange(range: ByteRange | undefined, size: number): { start: number; end: number } {
  if (range === undefined) return { start: 0, end: size };
  if (!(range.start >= 0) || (range.end !== undefined && range.end < range.start)) {
    throw new RangeError(`a byte range needs 0 <= start <= end, got ${range.start}-${range.end ?? ""}`);
  }
  const start = Math.min(range.start, size);
  return { start, end: range.end === undefined ? size : Math.max(start, Math.min(range.end + 1, size)) };
}

interface Opened {
  readonly file: FileHandle;
  readonly tail: Tail;
  readonly stats: Stats;
}

async function openObject(layout: Layout, uri: string): Promise<Opened | undefined> {
  const path = layout.objectPath(uri);
  let file: FileHandle;
  try {
    await layout.guard(uri, path);
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    const code = errorCode(error);
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw error;
  }
  try {
    const stats = await file.stat();
    const tail = stats.isFile() ? await readTail(file, stats.size) : undefined;
    if (tail === undefined) {
      throw new StoreUnavailableError(uri, `${path} is not a whole object of this store: restore or delete that file`);
    }
    return { file, tail, stats };
  } catch (error) {
    await file.close();
    throw error;
  }
}

function toHead(info: ObjectInfo, stats: Stats): FileObjectHead {
  const md5 = md5OfEtag(info.etag);
  return {
    size: info.size,
    etag: info.etag,
    lastModified: stats.mtime,
    metadata: info.metadata ?? {},
    ...(info.contentType !== undefined && { contentType: info.contentType }),
    ...(info.uploadId !== undefined && { uploadId: info.uploadId }),
    ...(md5 !== undefined && { md5 }),
  };
}

async function* one(chunk: Uint8Array): AsyncGenerator<Uint8Array> {
  if (chunk.length > 0) yield chunk;
}
