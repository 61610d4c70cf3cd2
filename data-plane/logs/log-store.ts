/**
 * Logs of attempts: followed live while they run, kept in the object store when they have ended, read the same way.
 *
 * Promise: a reader gets every line once, in order, from the first one, and its read ends when the attempt does, whether
 * it runs here or elsewhere, ended meanwhile, or ended long ago and its local files are gone. Trouble with the disk or the object
 * store is logged and retried, it never stops an attempt.
 */
import type { Clock } from "@flyte-ts/core";
import type { ObjectStore } from "@flyte-ts/platform/object-store";
import { type Log, pause } from "../executor/index.ts";
import { type LiveLog, liveLog } from "./live-log.ts";
import { type LogBatch, LogNotFoundError } from "./log-line.ts";
import { type ReadTimes, readLog } from "./log-reader.ts";
import { encodePiece, HEADER, storedUri } from "./stored-log.ts";

export interface LogStoreOptions {
  objectStore: Pick<ObjectStore, "root" | "put" | "stream" | "list">;
  clock: Clock;
  log: Log;
  /** Most lines in one batch. */
  maxLines?: number;
  /** Of logs that are written elsewhere. */
  times?: Partial<ReadTimes>;
}

export interface TailRequest {
  attemptUri: string;
  signal?: AbortSignal;
  /** Whether the attempt has ended. */
  over?: () => Promise<boolean>;
}

export interface LogStore {
  /** Follows the file that an attempt's process writes; harmless when it is followed already. */
  follow(attemptUri: string, file: string): Promise<void>;
  /**
   * The process has ended. Small logs are in the object store when this resolves, large ones a little later; `stored`
   * is called once the local file is of no use any more.
   */
  finish(attemptUri: string, stored: () => void): Promise<void>;
  /**
   * All lines from the first on, live until the attempt ends. Throws {@link LogNotFoundError} before the first byte.
   * `over` is asked now and then, so that nobody waits for an executor that will not speak again.
   */
  tail(request: TailRequest): AsyncGenerator<LogBatch>;
  /** Keeps an eye on files that no watch covers and repeats failed uploads. */
  run(signal: AbortSignal): Promise<void>;
}

/** A log up to this size is stored before the end of its attempt is reported. */
const SMALL_BYTES = 256 * 1024;
const POLL_MS = 200;
/** Watched files are looked at too, but seldom. */
const POLLS_OF_WATCHED = 10;

export function logStore(options: LogStoreOptions): LogStore {
  const { objectStore, clock, log } = options;
  const maxLines = options.maxLines ?? 200;
  const live = new Map<string, Promise<LiveLog>>();
  /** Ended, and not in the object store yet. */
  const unstored = new Map<
    string,
    { log: LiveLog; done: () => void; failures: number; dueMs: number; busy: boolean }
  >();
  let poke: (() => void) | undefined;

  async function store(attemptUri: string): Promise<void> {
    const entry = unstored.get(attemptUri);
    if (!entry || entry.busy) return;
    entry.busy = true;
    try {
      await objectStore.put(storedUri(attemptUri), encoded(entry.log), { contentType: "application/octet-stream" });
    } catch (error) {
      entry.busy = false;
      entry.failures += 1;
      entry.dueMs = performance.now() + Math.min(500 * 2 ** entry.failures, 60_000);
      log.warn(
        { attemptUri, err: error, failures: entry.failures },
        "a log could not be stored and will be tried again",
      );
      return;
    }
    unstored.delete(attemptUri);
    live.delete(attemptUri);
    await entry.log.close();
    entry.done();
  }

  async function look(seldom: boolean): Promise<void> {
    for (const [attemptUri, opening] of live) {
      const one = await opening.catch(() => undefined);
      if (one && !unstored.has(attemptUri) && (seldom || !one.watched)) await one.check();
    }
    for (const [attemptUri, entry] of unstored) if (entry.dueMs <= performance.now()) void store(attemptUri);
  }

  return {
    async follow(attemptUri, file) {
      const known = live.get(attemptUri);
      if (known) {
        await known;
        return;
      }
      const onError = (error: unknown) =>
        log.warn({ attemptUri, err: error }, "a log could not be followed for a moment");
      const opening = liveLog({ file, clock, onError });
      live.set(attemptUri, opening);
      poke?.();
      try {
        await opening;
      } catch (error) {
        live.delete(attemptUri);
        throw error;
      }
    },
    async finish(attemptUri, stored) {
      const one = await live.get(attemptUri);
      if (!one) {
        stored();
        return;
      }
      await one.end();
      if (unstored.has(attemptUri)) return;
      unstored.set(attemptUri, { log: one, done: stored, failures: 0, dueMs: 0, busy: false });
      if (one.size <= SMALL_BYTES) await store(attemptUri);
      poke?.();
    },
    async *tail({ attemptUri, signal, over }) {
      const one = await live.get(attemptUri);
      // Gone from the map means closed; a reader that has begun keeps the file open.
      if (one && live.has(attemptUri)) {
        if (one.size === 0 && !unstored.has(attemptUri)) throw new LogNotFoundError(attemptUri);
        for await (const lines of one.read(maxLines, signal)) if (lines.length > 0) yield { lines };
        return;
      }
      const way = { attemptUri, objectStore, maxLines, over, times: options.times };
      const stop = signal ?? new AbortController().signal;
      for await (const lines of readLog({ ...way, signal: stop })) yield { lines };
    },
    async run(signal) {
      signal.addEventListener("abort", () => poke?.(), { once: true });
      for (let round = 0; !signal.aborted; round += 1) {
        if (live.size === 0) await new Promise<void>((resolve) => (poke = resolve));
        poke = undefined;
        await look(round % POLLS_OF_WATCHED === 0);
        await pause(POLL_MS, signal);
      }
      for (const opening of live.values()) await opening.then((one) => one.close()).catch(() => {});
    },
  };
}

async function* encoded(log: LiveLog): AsyncGenerator<Uint8Array> {
  yield Buffer.from(HEADER);
  let parts: Buffer[] = [];
  let bytes = 0;
  for await (const { piece, atMs } of log.pieces()) {
    const part = encodePiece(piece, atMs);
    parts.push(part);
    bytes += part.length;
    if (bytes >= SMALL_BYTES) {
      yield Buffer.concat(parts);
      parts = [];
      bytes = 0;
    }
  }
  if (bytes > 0) yield Buffer.concat(parts);
}
