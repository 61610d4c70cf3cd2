/** The end of a log, for an error message. */
import { open } from "node:fs/promises";

const BYTES = 4096;
const LINES = 12;

/** At most the last 12 lines and 4 KiB; empty when there is nothing. */
export async function lastLines(file: string): Promise<string> {
  let handle: Awaited<ReturnType<typeof open>>;
  try {
    handle = await open(file, "r");
  } catch {
    return "";
  }
  try {
    const { size } = await handle.stat();
    const start = Math.max(0, size - BYTES);
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(BYTES), 0, BYTES, start);
    const lines = buffer.toString("utf8", 0, bytesRead).trimEnd().split("\n");
    // The first one is cut when the file goes further back.
    if (start > 0 && lines.length > 1) lines.shift();
    return lines.slice(-LINES).join("\n");
  } finally {
    await handle.close();
  }
}
