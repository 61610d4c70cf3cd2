/**
 * gzip for the wire, both ways.
 *
 * Promise: no body grows beyond the given limit, and bytes that are not gzip are the caller's mistake (invalid_argument).
 * Small bodies are handled on the spot: a hop to zlib's thread pool costs more CPU than inflating a few kilobytes.
 */
import { promisify } from "node:util";
import * as zlib from "node:zlib";
import { Code, ConnectError } from "@connectrpc/connect";
import type { Compression } from "@connectrpc/connect/protocol";

const inline = { input: 32 * 1024, output: 256 * 1024 };
const gunzipInPool = promisify(zlib.gunzip);
const gzipInPool = promisify<zlib.InputType, zlib.ZlibOptions, Buffer>(zlib.gzip);

export const gzip: Compression = {
  name: "gzip",
  compress: async (bytes) => owned(await gzipInPool(bytes, { level: 1 })),
  decompress: async (bytes, readMaxBytes) => {
    const now = gunzipNow(bytes, readMaxBytes);
    return owned(now ?? (await gunzipLater(bytes, readMaxBytes)));
  },
};

/** The body if it is small enough to be inflated at once, else undefined: use `gunzipLater`. */
export function gunzipNow(bytes: Uint8Array, readMaxBytes: number): Uint8Array | undefined {
  if (bytes.byteLength === 0) return bytes;
  if (bytes.byteLength > inline.input) return undefined;
  try {
    return zlib.gunzipSync(bytes, { maxOutputLength: Math.min(inline.output, readMaxBytes) });
  } catch (cause) {
    if (isTooLarge(cause) && readMaxBytes > inline.output) return undefined;
    throw gunzipError(cause, readMaxBytes);
  }
}

export async function gunzipLater(bytes: Uint8Array, readMaxBytes: number): Promise<Uint8Array> {
  try {
    return await gunzipInPool(bytes, { maxOutputLength: readMaxBytes });
  } catch (cause) {
    throw gunzipError(cause, readMaxBytes);
  }
}

function isTooLarge(cause: unknown): boolean {
  return (cause as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE";
}

function gunzipError(cause: unknown, readMaxBytes: number): ConnectError {
  return isTooLarge(cause)
    ? new ConnectError(`message is larger than ${readMaxBytes} bytes after decompression`, Code.ResourceExhausted)
    : new ConnectError(`request body is not valid gzip: ${(cause as Error).message}`, Code.InvalidArgument);
}

function owned(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return bytes.buffer instanceof ArrayBuffer ? (bytes as Uint8Array<ArrayBuffer>) : new Uint8Array(bytes);
}
