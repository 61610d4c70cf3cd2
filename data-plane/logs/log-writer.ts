/**
 * Writes the log of an attempt whose readers may be anywhere: as parts (`log-parts.ts`) while it goes on, as one object
 * (`stored-log.ts`) when it is over.
 *
 * Promise: what was stored is never stored again, and with it goes the caller's note of where it was, so that another
 * life goes on exactly there. At most twice `limit()` bytes are held; `room` makes the caller wait for more. While the
 * store is away nothing is lost, and nobody but the caller of `finish` hears of it. A log that is small and over before
 * its first part was due costs one object.
 */
import type { ObjectStore } from "@flyte-ts/platform/object-store";
import type { Log } from "../executor/index.ts";
import { type LogPart, listParts, openPart, partAt, partHead, partOf } from "./log-parts.ts";
import { encodePiece, HEADER, storedUri } from "./stored-log.ts";

export interface LogWriterOptions {
  attemptUri: string;
  objectStore: Pick<ObjectStore, "put" | "stream" | "list" | "delete">;
  log: Log;
  /** One line of text that goes with all that was added so far. */
  note(): string;
  /** Somebody reads this log now. */
  isRead(): boolean;
  /** Bytes to be held before they are stored at once. */
  limit(): number;
  /** Runs work that nobody waits for. */
  later(work: () => Promise<void>): void;
}

export interface LogWriter {
  /** The note that went with the last line stored by an earlier life; empty when there is none. */
  readonly note: string;
  /** Encoded bytes so far, with those that are held. */
  readonly bytes: number;
  /** Its last part was stored in an earlier life. */
  readonly ended: boolean;
  /** Lines are put in order of `atMs` as far as they are stored together; those of one `source` stay as they were added. */
  add(line: { source: string; bytes: Buffer; atMs: number; system?: boolean }): void;
  /** As much is held as may be. */
  readonly full: boolean;
  /** Resolves when more may be added. */
  room(signal: AbortSignal): Promise<void>;
  /** Somebody has come to read: what is held is stored now, and from now on soon. */
  hurry(): void;
  /** Stores what is held; throws when that fails. */
  flush(): Promise<void>;
  /**
   * Nothing comes any more. All of it is stored when this resolves (otherwise it throws, and may be called again); to be
   * one object, a large log takes a little longer.
   */
  finish(): Promise<void>;
  /** Forgets what is held. */
  close(): void;
}

/** Soon after the first line; then soon for readers, and seldomer and seldomer for nobody. */
const FIRST_MS = 200;
const READ_MS = 300;
const UNREAD_MS = 1_000;
const MAX_UNREAD_MS = 10_000;
const MAX_RETRY_MS = 30_000;
/** So many parts of a size become one. */
const MERGED = 16;
const MAX_MERGED_BYTES = 64 * 1024 * 1024;
/** A log up to this size is one object before `finish` resolves. */
const SMALL_BYTES = 256 * 1024;

interface Held {
  source: string;
  /** Never decreasing within a source. */
  order: number;
  encoded: Buffer;
}

interface Batch {
  lines: Held[];
  bytes: number;
  note: string;
}

/** A part, and from which byte of the log on it is used. */
interface Link {
  part: LogPart;
  from: number;
  level: number;
}

/** Finds what earlier lives stored. */
export async function logWriter(options: LogWriterOptions): Promise<LogWriter> {
  const { attemptUri, objectStore, log } = options;
  const found = chainOf(await listParts(objectStore, attemptUri));
  const chain = found.chain;
  const earlierNote = await noteOf(chain.at(-1)?.part);
  let offset = chain.at(-1)?.part.end ?? 0;
  let note = earlierNote;
  let ended = found.ended;

  let held: Held[] = [];
  let heldBytes = 0;
  /** Taken from what is held, and not known to be stored: stored again just so, as it may have been in spite of an error. */
  let batch: Batch | undefined;
  let storing: Promise<void> | undefined;
  let timer: NodeJS.Timeout | undefined;
  let failures = 0;
  let unread = 0;
  let stored = chain.length;
  const newest = new Map<string, number>();
  const waiting = new Set<() => void>();

  async function noteOf(part: LogPart | undefined): Promise<string> {
    const opened = part && (await openPart(objectStore, part));
    await opened?.close();
    return opened?.note ?? "";
  }

  function wakeAll(): void {
    for (const resolve of waiting) resolve();
    waiting.clear();
  }

  function take(): Batch {
    const lines = held.sort((a, b) => a.order - b.order);
    const taken = { lines, bytes: heldBytes, note: options.note() };
    held = [];
    heldBytes = 0;
    return taken;
  }

  async function storeBatch(last: boolean): Promise<void> {
    batch ??= take();
    const { lines, bytes } = batch;
    const part = partOf(attemptUri, offset, offset + bytes, last);
    await objectStore.put(part.uri, Buffer.concat([partHead(batch.note), ...lines.map(({ encoded }) => encoded)]));
    note = batch.note;
    batch = undefined;
    chain.push({ part, from: offset, level: 0 });
    offset += bytes;
    stored += 1;
    failures = 0;
    ended = last;
    unread = options.isRead() ? 0 : unread + 1;
    wakeAll();
  }

  function store(): Promise<void> {
    storing ??= (async () => {
      try {
        await storeBatch(false);
        await merge();
      } catch (error) {
        failures += 1;
        throw error;
      } finally {
        storing = undefined;
        schedule();
      }
    })();
    return storing;
  }

  function storeSoon(): void {
    clearTimeout(timer);
    timer = undefined;
    store().catch((error: unknown) =>
      log.warn({ attemptUri, err: error, failures }, "a part of a log could not be stored and will be tried again"),
    );
  }

  function schedule(): void {
    if (timer || storing || (heldBytes === 0 && !batch)) return;
    if (failures === 0 && heldBytes >= options.limit()) storeSoon();
    else timer = setTimeout(storeSoon, dueInMs());
  }

  function dueInMs(): number {
    if (failures > 0) return Math.min(MAX_RETRY_MS, 500 * 2 ** Math.min(failures, 10));
    if (stored === 0) return FIRST_MS;
    return options.isRead() ? READ_MS : Math.min(MAX_UNREAD_MS, UNREAD_MS * 2 ** Math.min(unread, 10));
  }

  /** So that a long log stays a few parts, each byte is copied a few times. */
  async function merge(): Promise<void> {
    for (;;) {
      const links = chain.slice(-MERGED);
      const [first] = links;
      const bytes = offset - (first?.from ?? 0);
      if (links.length < MERGED || !first || links.some(({ level }) => level !== first.level)) return;
      if (bytes > MAX_MERGED_BYTES) return;
      const part = partOf(attemptUri, first.from, offset, false);
      try {
        await objectStore.put(part.uri, encodedOf(partHead(note), links));
        chain.splice(-MERGED, MERGED, { part, from: first.from, level: first.level + 1 });
        await objectStore.delete(links.flatMap((one) => (one.part.uri === part.uri ? [] : [one.part.uri])));
      } catch (error) {
        log.warn({ attemptUri, err: error }, "parts of a log could not become one and stay as they are");
        for (const link of links) link.level = Number.NaN;
        return;
      }
    }
  }

  async function* encodedOf(head: Buffer, links: readonly Link[]): AsyncGenerator<Uint8Array> {
    yield head;
    for (const { part, from } of links) {
      if (part.end === from) continue;
      const opened = await openPart(objectStore, part, from);
      if (!opened) throw new Error(`${part.uri} is gone; only one executor may write the log of an attempt`);
      try {
        yield* opened.body;
      } finally {
        await opened.close();
      }
    }
  }

  async function becomeOne(): Promise<void> {
    await objectStore.put(storedUri(attemptUri), encodedOf(Buffer.from(HEADER), chain), { contentType: CONTENT_TYPE });
    await objectStore.delete((await listParts(objectStore, attemptUri)).map(({ uri }) => uri));
  }

  return {
    note: earlierNote,
    get bytes() {
      return offset + heldBytes + (batch?.bytes ?? 0);
    },
    ended,
    add({ source, bytes, atMs, system }) {
      const order = Math.max(atMs, newest.get(source) ?? 0);
      newest.set(source, order);
      const encoded = encodePiece({ bytes, ...(system ? { system } : {}) }, atMs);
      held.push({ source, order, encoded });
      heldBytes += encoded.length;
      if (heldBytes >= options.limit() && timer && failures === 0) storeSoon();
      else schedule();
    },
    get full() {
      return heldBytes >= options.limit();
    },
    async room(signal) {
      while (heldBytes >= options.limit() && !signal.aborted) {
        await new Promise<void>((resolve) => {
          const done = () => {
            waiting.delete(done);
            signal.removeEventListener("abort", done);
            resolve();
          };
          waiting.add(done);
          signal.addEventListener("abort", done, { once: true });
        });
      }
    },
    hurry() {
      unread = 0;
      if (timer && failures === 0) storeSoon();
    },
    async flush() {
      await storing?.catch(() => {});
      while (batch || heldBytes > 0) await store();
    },
    async finish() {
      clearTimeout(timer);
      await storing?.catch(() => {});
      clearTimeout(timer);
      if (!ended && chain.length === 0 && !batch) {
        const { lines, bytes, note: lastNote } = take();
        const whole = Buffer.concat([Buffer.from(HEADER), ...lines.map(({ encoded }) => encoded)]);
        try {
          await objectStore.put(storedUri(attemptUri), whole, { contentType: CONTENT_TYPE });
        } catch (error) {
          batch = { lines, bytes, note: lastNote };
          throw error;
        }
        return;
      }
      if (batch && heldBytes > 0) await storeBatch(false);
      if (!ended) await storeBatch(true);
      const trouble = (error: unknown) =>
        log.warn({ attemptUri, err: error }, "the parts of a log could not become one object and stay as they are");
      if (offset <= SMALL_BYTES) await becomeOne().catch(trouble);
      else options.later(() => becomeOne().catch(trouble));
    },
    close() {
      clearTimeout(timer);
      held = [];
      heldBytes = 0;
      wakeAll();
    },
  };
}

const CONTENT_TYPE = "application/octet-stream";

/** The parts that lead from the first byte to the last. */
function chainOf(parts: readonly LogPart[]): { chain: Link[]; ended: boolean } {
  const chain: Link[] = [];
  let offset = 0;
  for (let part = partAt(parts, 0); part; part = partAt(parts, offset)) {
    chain.push({ part, from: offset, level: 0 });
    offset = part.end;
  }
  const last = parts.find((part) => part.last && part.end === offset);
  // It may be empty, and is then on no way.
  if (last && chain.at(-1)?.part !== last) chain.push({ part: last, from: offset, level: 0 });
  return { chain, ended: last !== undefined };
}
