/**
 * The log of an attempt that runs: a file that the attempt's process writes by itself, so that it can outlive us.
 *
 * We look at the file when the system says that it changed (and now and then, where it does not), note how far it was at
 * what time, and let any number of readers follow, each at its own pace and with one chunk in memory.
 */
import { type FSWatcher, watch } from "node:fs";
import { open, readFile } from "node:fs/promises";
import type { Clock } from "@flyte-ts/core";
import { lineCutter, type Piece } from "./lines.ts";
import type { LogLine } from "./log-line.ts";
import { parseStamps, type Stamps, stampText } from "./stamps.ts";

export interface LiveLog {
  /** True when the system tells us about changes; otherwise someone must `check` often. */
  readonly watched: boolean;
  readonly size: number;
  check(): Promise<void>;
  /** The process has ended: stamps what is left, lets readers finish. */
  end(): Promise<void>;
  /** Batches from the first line on; ends when the attempt has. */
  read(maxLines: number, signal?: AbortSignal): AsyncGenerator<LogLine[]>;
  /** All pieces of a log that has ended, with their times. */
  pieces(): AsyncGenerator<{ piece: Piece; atMs: number }>;
  close(): Promise<void>;
}

const CHUNK_BYTES = 64 * 1024;
/** Writes that follow each other closely are stamped together. */
const SETTLE_MS = 15;

export interface LiveLogOptions {
  file: string;
  clock: Clock;
  onError(error: unknown): void;
}

/** Opens the file, which must exist, and what is known of its times. */
export async function liveLog({ file, clock, onError }: LiveLogOptions): Promise<LiveLog> {
  const handle = await open(file, "r");
  const indexFile = `${file}.idx`;
  const known = await readFile(indexFile, "utf8").catch(() => "");
  const times: Stamps = parseStamps(known);
  const index = await open(indexFile, "a").catch((error: unknown) => {
    onError(error);
    return undefined;
  });
  let ended = false;
  let checking: Promise<void> | undefined;
  let again = false;
  let readers = 0;
  let closing = false;
  let settle: NodeJS.Timeout | undefined;
  const waiting = new Set<() => void>();

  // What arrived while nobody looked has the time of the file's last change.
  await stamp(true);

  let watcher: FSWatcher | undefined;
  try {
    watcher = watch(file, { persistent: false }, () => {
      settle ??= setTimeout(() => {
        settle = undefined;
        void check();
      }, SETTLE_MS);
    });
    watcher.on("error", () => {
      watcher?.close();
      watcher = undefined;
    });
  } catch {
    // No watches left on this machine: `check` is called often instead.
  }

  async function stamp(byFileTime: boolean): Promise<void> {
    const { size, mtimeMs } = await handle.stat();
    if (size <= times.end) return;
    const atMs = byFileTime ? Math.floor(mtimeMs) : clock.now().getTime();
    times.add(size, atMs);
    for (const resolve of waiting) resolve();
    waiting.clear();
    // Only the times are lost when this fails, and only after a restart.
    await index?.appendFile(stampText(size, atMs)).catch(onError);
  }

  async function check(): Promise<void> {
    if (checking) {
      again = true;
      return checking;
    }
    checking = (async () => {
      do {
        again = false;
        await stamp(false);
      } while (again);
    })()
      .catch(onError)
      .finally(() => {
        checking = undefined;
      });
    return checking;
  }

  function changed(signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        waiting.delete(done);
        signal?.removeEventListener("abort", done);
        resolve();
      };
      waiting.add(done);
      signal?.addEventListener("abort", done, { once: true });
    });
  }

  const time = (piece: Piece): number => times.at(piece.start) ?? clock.now().getTime();

  async function* follow(signal?: AbortSignal): AsyncGenerator<Piece[]> {
    const cutter = lineCutter();
    const chunk = Buffer.alloc(CHUNK_BYTES);
    let position = 0;
    readers += 1;
    try {
      while (!signal?.aborted) {
        if (position < times.end) {
          const wanted = Math.min(CHUNK_BYTES, times.end - position);
          const { bytesRead } = await handle.read(chunk, 0, wanted, position);
          // A process may cut its own log; what is gone is gone.
          if (bytesRead === 0) return;
          position += bytesRead;
          yield cutter.push(chunk.subarray(0, bytesRead));
        } else if (ended) {
          yield cutter.flush();
          return;
        } else {
          await changed(signal);
        }
      }
    } finally {
      readers -= 1;
      if (closing && readers === 0) await release();
    }
  }

  async function release(): Promise<void> {
    await Promise.allSettled([handle.close(), index?.close()]);
  }

  return {
    get watched() {
      return watcher !== undefined;
    },
    get size() {
      return times.end;
    },
    check,
    async end() {
      if (ended) return;
      watcher?.close();
      watcher = undefined;
      clearTimeout(settle);
      await checking;
      await stamp(false).catch(onError);
      ended = true;
      for (const resolve of waiting) resolve();
      waiting.clear();
    },
    async *read(maxLines, signal) {
      for await (const pieces of follow(signal)) {
        for (let from = 0; from < pieces.length; from += maxLines) {
          yield pieces.slice(from, from + maxLines).map((piece) => ({
            message: piece.bytes.toString("utf8"),
            timestamp: new Date(time(piece)),
          }));
        }
      }
    },
    async *pieces() {
      for await (const pieces of follow()) for (const piece of pieces) yield { piece, atMs: time(piece) };
    },
    async close() {
      closing = true;
      watcher?.close();
      watcher = undefined;
      clearTimeout(settle);
      await checking;
      if (readers === 0) await release();
    },
  };
}
