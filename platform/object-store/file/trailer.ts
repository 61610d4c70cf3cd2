/**
 * How one object is laid down in one file: the content, then a JSON trailer, then a 12-byte footer (trailer length and
 * magic). Content and metadata thus change in one rename, the content can be streamed before its digest is known, and
 * a file cut short is noticed because the trailer repeats the size.
 */
import type { FileHandle } from "node:fs/promises";

/** What is known of a stored object besides its bytes. */
export interface ObjectInfo {
  readonly size: number;
  readonly etag: string;
  readonly contentType?: string;
  readonly metadata?: Readonly<Record<string, string>>;
  /** The multipart upload it came from, so that a repeated completion can be recognised. */
  readonly uploadId?: string;
}

const MAGIC = "FlyteOb1";
const FOOTER = 12;
/** Read from a file's end at once: holds nearly every trailer, and the whole of a small object. */
const TAIL = 4096;

/** The bytes that follow an object's content. */
export function writeTrailer(info: ObjectInfo): Buffer {
  const json = Buffer.from(JSON.stringify(info));
  const footer = Buffer.alloc(FOOTER);
  footer.writeUInt32BE(json.length, 0);
  footer.write(MAGIC, 4, "latin1");
  return Buffer.concat([json, footer]);
}

/** An object's info, and those of its last bytes that came along. */
export interface Tail {
  readonly info: ObjectInfo;
  /** Content bytes from `offset` to the end of the content. */
  readonly content: Buffer;
  readonly offset: number;
}

/** Reads the trailer of an open file; `undefined` when the file is not a whole object. */
export async function readTail(file: FileHandle, fileSize: number): Promise<Tail | undefined> {
  let tail = await readExactly(file, Math.max(0, fileSize - TAIL), fileSize);
  if (tail.length < FOOTER || tail.toString("latin1", tail.length - 8) !== MAGIC) return undefined;
  const jsonLength = tail.readUInt32BE(tail.length - FOOTER);
  if (jsonLength + FOOTER > fileSize) return undefined;
  if (jsonLength + FOOTER > tail.length) tail = await readExactly(file, fileSize - FOOTER - jsonLength, fileSize);
  const jsonStart = tail.length - FOOTER - jsonLength;
  const info = parse(tail.toString("utf8", jsonStart, jsonStart + jsonLength));
  if (info === undefined || info.size !== fileSize - FOOTER - jsonLength) return undefined;
  return { info, content: tail.subarray(0, jsonStart), offset: info.size - jsonStart };
}

/** The content's MD5, when the ETag is one. */
export function md5OfEtag(etag: string): Uint8Array | undefined {
  return /^[0-9a-f]{32}$/.test(etag) ? Buffer.from(etag, "hex") : undefined;
}

async function readExactly(file: FileHandle, start: number, end: number): Promise<Buffer> {
  const buffer = Buffer.allocUnsafe(end - start);
  let filled = 0;
  while (filled < buffer.length) {
    const { bytesRead } = await file.read(buffer, filled, buffer.length - filled, start + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return buffer.subarray(0, filled);
}

function parse(json: string): ObjectInfo | undefined {
  try {
    const info = JSON.parse(json) as ObjectInfo;
    return typeof info.size === "number" && typeof info.etag === "string" ? info : undefined;
  } catch {
    return undefined;
  }
}
