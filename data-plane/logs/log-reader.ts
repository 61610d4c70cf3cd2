/**
 * Reads the log of an attempt from the object store, wherever it is written: its one object if it is over, else its parts,
 * followed until it is.
 *
 * Promise: every line once, in order, whichever moment the reader came, also when parts become one, or the log one
 * object, under its eyes: it counts the bytes it has read, and those are the same everywhere.
 */
import { ObjectNotFoundError, type ObjectStore } from "@flyte-ts/platform/object-store";
import { pause } from "../executor/index.ts";
import { type LogLine, LogNotFoundError } from "./log-line.ts";
import { endsAt, listParts, openPart, partAt } from "./log-parts.ts";
import { markRead, RENEW_MS } from "./log-readers.ts";
import { decodeLines, decodeLog, HEADER, storedUri } from "./stored-log.ts";

export interface LogReaderOptions {
  attemptUri: string;
  objectStore: Pick<ObjectStore, "root" | "put" | "stream" | "list">;
  /** Most lines in a batch. */
  maxLines: number;
  signal: AbortSignal;
  /** The attempt has ended, so that a writer which says nothing is not waited for. */
  over?: (() => Promise<boolean>) | undefined;
  times?: Partial<ReadTimes> | undefined;
}

export interface ReadTimes {
  /** Between two looks for new parts: short, growing while there are none. */
  pollMs: number;
  maxPollMs: number;
  /** How often somebody is asked whether the attempt is over, and how long lines may still come then. */
  askMs: number;
  lateMs: number;
}

const defaultTimes: ReadTimes = { pollMs: 500, maxPollMs: 2_000, askMs: 4_000, lateMs: 10_000 };

/** Throws {@link LogNotFoundError} when there is nothing of the log (yet). */
export async function* readLog(options: LogReaderOptions): AsyncGenerator<LogLine[]> {
  const { attemptUri, objectStore, maxLines, signal } = options;
  const times = { ...defaultTimes, ...options.times };
  let offset = 0;

  const whole = await openWhole();
  if (whole) return yield* whole();
  const end = endOf(options, times);
  let parts = await listParts(objectStore, attemptUri);
  let pollMs = times.pollMs;
  while (!signal.aborted) {
    if (parts.length === 0) {
      const written = await openWhole();
      if (written) return yield* written();
      if (offset === 0) throw new LogNotFoundError(attemptUri);
      return;
    }
    const part = partAt(parts, offset);
    if (part) {
      const before = offset;
      const opened = await openPart(objectStore, part, offset);
      if (opened) {
        try {
          for await (const { lines, bytes } of decodeLines(opened.body, maxLines)) {
            offset += bytes;
            yield lines;
            if (signal.aborted) return;
          }
        } finally {
          await opened.close();
        }
        if (offset === before) throw new Error(`${part.uri} does not hold what its name says`);
        end.heard();
        pollMs = times.pollMs;
        continue;
      }
    } else {
      if (endsAt(parts, offset) || (await end.reached())) return;
      await end.mark();
      await pause(pollMs, signal);
      pollMs = Math.min(times.maxPollMs, pollMs * 1.25);
    }
    parts = await listParts(objectStore, attemptUri);
  }

  /** The log as one object, from `offset` on; undefined while there is none. */
  async function openWhole(): Promise<(() => AsyncGenerator<LogLine[]>) | undefined> {
    const range = offset === 0 ? undefined : { start: HEADER.length + offset };
    const stream = await objectStore.stream(storedUri(attemptUri), range).catch((error: unknown) => {
      if (error instanceof ObjectNotFoundError) return undefined;
      throw error;
    });
    if (!stream) return undefined;
    const linesOf = range ? decodeBare(stream.body) : decodeLog(stream.body, maxLines);
    return async function* () {
      try {
        for await (const lines of linesOf) {
          yield lines;
          if (signal.aborted) return;
        }
      } finally {
        await stream.close();
      }
    };
  }

  async function* decodeBare(body: AsyncIterable<Uint8Array>): AsyncGenerator<LogLine[]> {
    for await (const { lines } of decodeLines(body, maxLines)) yield lines;
  }
}

/** Knows when nothing more is to be expected, and leaves marks until then. */
function endOf({ over, objectStore, attemptUri }: LogReaderOptions, { askMs, lateMs }: ReadTimes) {
  let heardMs = performance.now();
  let askedMs = 0;
  let markedMs = Number.NEGATIVE_INFINITY;
  let isOver = false;
  return {
    heard() {
      heardMs = performance.now();
    },
    async mark(): Promise<void> {
      if (isOver || performance.now() - markedMs < RENEW_MS) return;
      markedMs = performance.now();
      await markRead(objectStore, attemptUri);
    },
    async reached(): Promise<boolean> {
      const now = performance.now();
      if (!isOver && over && now - Math.max(heardMs, askedMs) > askMs) {
        askedMs = now;
        isOver = await over();
      }
      return isOver && now - heardMs > lateMs;
    },
  };
}
