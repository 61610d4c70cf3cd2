/**
 * The log of an attempt that goes on elsewhere: parts of its stored form, one object each, in the attempt's folder. Those
 * who write and those who read share nothing but the object store.
 *
 *     _flyte_log.d/0000000000000000-0000000000004096          bytes 0 to 4096 of the lines, as in `_flyte_log`
 *     _flyte_log.d/0000000000004096-0000000000009000.last     nothing comes after it
 *
 * A part begins with a line of its own, `flyte-ts-log-part 1 <JSON>`: the writer's note of where it was. Small parts are
 * put together into larger ones over the same bytes, so parts overlap for a moment; a reader counts bytes and never
 * cares which part holds them.
 */
import { ObjectNotFoundError, type ObjectStore } from "@flyte-ts/platform/object-store";
import { firstLine } from "./lines.ts";

export interface LogPart {
  uri: string;
  /** In bytes of the encoded lines. */
  start: number;
  end: number;
  last: boolean;
}

const NAME = /\/(\d{16})-(\d{16})(\.last)?$/;
const HEAD = "flyte-ts-log-part 1 ";

export function partsUri(attemptUri: string): string {
  return `${attemptUri}/_flyte_log.d/`;
}

export function partOf(attemptUri: string, start: number, end: number, last: boolean): LogPart {
  const text = (offset: number) => String(offset).padStart(16, "0");
  return { uri: `${partsUri(attemptUri)}${text(start)}-${text(end)}${last ? ".last" : ""}`, start, end, last };
}

/** All parts, by where they begin, longer ones later. */
export async function listParts(objectStore: Pick<ObjectStore, "list">, attemptUri: string): Promise<LogPart[]> {
  const parts: LogPart[] = [];
  for (let after: string | undefined; ; ) {
    const page = await objectStore.list(partsUri(attemptUri), after === undefined ? {} : { after });
    for (const { uri } of page.objects) {
      const [, start, end, last] = NAME.exec(uri) ?? [];
      if (start && end) parts.push({ uri, start: Number(start), end: Number(end), last: last !== undefined });
    }
    after = page.next;
    if (after === undefined) return parts;
  }
}

/** The part to read from `offset` on: the one that leads furthest. */
export function partAt(parts: readonly LogPart[], offset: number): LogPart | undefined {
  let best: LogPart | undefined;
  for (const part of parts) {
    if (part.start <= offset && part.end > offset && part.end > (best?.end ?? 0)) best = part;
  }
  return best;
}

/** Nothing comes after `offset` any more. */
export function endsAt(parts: readonly LogPart[], offset: number): boolean {
  return parts.some((part) => part.last && part.end <= offset);
}

export function partHead(note: string): Buffer {
  return Buffer.from(`${HEAD}${note}\n`);
}

export interface OpenPart {
  note: string;
  body: AsyncGenerator<Uint8Array>;
  /** Needed whether the body was read to its end or not. */
  close(): Promise<void>;
}

/** Opens a part at `offset`; undefined when it is gone by now: it became one with others. */
export async function openPart(
  objectStore: Pick<ObjectStore, "stream">,
  part: LogPart,
  offset = part.start,
): Promise<OpenPart | undefined> {
  const stream = await objectStore.stream(part.uri).catch((error: unknown) => {
    if (error instanceof ObjectNotFoundError) return undefined;
    throw error;
  });
  if (!stream) return undefined;
  try {
    const { line, rest } = await firstLine(stream.body);
    if (!line.startsWith(HEAD)) throw new Error(`${part.uri} is no part of a log, or one of a newer version`);
    return { note: line.slice(HEAD.length), body: from(rest, offset - part.start), close: () => stream.close() };
  } catch (error) {
    await stream.close();
    throw error;
  }
}

async function* from(body: AsyncIterable<Uint8Array>, offset: number): AsyncGenerator<Uint8Array> {
  let left = offset;
  for await (const chunk of body) {
    if (left < chunk.length) yield left > 0 ? chunk.subarray(left) : chunk;
    left = Math.max(0, left - chunk.length);
  }
}
