/**
 * The server's log file. PostgreSQL writes to it directly, so it outlives us; we keep it small by moving a full file's
 * content to `<file>.1` and emptying it (the server appends, so it goes on at the start).
 */
import { copyFile, type FileHandle, open, stat, truncate } from "node:fs/promises";

const fullBytes = 10 * 1024 * 1024;
const checkMs = 60_000;

/** Opens the file for appending. */
export async function openServerLog(file: string): Promise<FileHandle> {
  await rotateIfFull(file);
  return open(file, "a", 0o600);
}

/** Looks at the size now and then until the returned function is called. */
export function keepRotating(file: string, onError: (error: unknown) => void): () => void {
  const timer = setInterval(() => void rotateIfFull(file).catch(onError), checkMs).unref();
  return () => clearInterval(timer);
}

export async function rotateIfFull(file: string, full = fullBytes): Promise<boolean> {
  const size = await sizeOf(file);
  if (size < full) return false;
  await copyFile(file, `${file}.1`);
  await truncate(file, 0);
  return true;
}

export async function sizeOf(file: string): Promise<number> {
  return (await stat(file).catch(() => undefined))?.size ?? 0;
}

/** What was written from `offset` on, at most the last `limit` bytes. */
export async function readFrom(file: string, offset: number, limit = 4_000): Promise<string> {
  const handle = await open(file, "r").catch(() => undefined);
  if (handle === undefined) return "";
  try {
    const { size } = await handle.stat();
    const start = Math.max(Math.min(offset, size), size - limit);
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(size - start), 0, size - start, start);
    return buffer.subarray(0, bytesRead).toString("utf8");
  } finally {
    await handle.close();
  }
}
