/**
 * Cuts a stream of bytes into log lines. Pure.
 *
 * Promise: every byte comes out once, in order. A line longer than the limit comes in pieces that never cut a UTF-8
 * character; only the last piece of a line ends in a newline. What has no newline yet is kept until `flush`.
 */
export interface Piece {
  bytes: Buffer;
  /** Where its first byte stands in the stream. */
  start: number;
}

/** Longest piece, in bytes. */
export const MAX_PIECE_BYTES = 64 * 1024;
const MAX_FIRST_BYTES = 1024 * 1024;

export interface LineCutter {
  push(chunk: Buffer): Piece[];
  /** The rest, if any, as lines without newline. */
  flush(): Piece[];
}

const NEWLINE = 0x0a;

export function lineCutter(start = 0, limit = MAX_PIECE_BYTES): LineCutter {
  let rest: Buffer = Buffer.alloc(0);
  let restStart = start;

  function take(length: number): Piece {
    const piece = { bytes: rest.subarray(0, length), start: restStart };
    rest = rest.subarray(length);
    restStart += length;
    return piece;
  }

  return {
    push(chunk) {
      const pieces: Piece[] = [];
      let searched = rest.length;
      rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
      for (;;) {
        const newline = rest.indexOf(NEWLINE, searched);
        const length = newline < 0 ? rest.length : newline + 1;
        if (length > limit) pieces.push(take(characterBoundary(rest, limit)));
        else if (newline >= 0) pieces.push(take(length));
        else break;
        searched = 0;
      }
      // The chunk belongs to the caller, who may use it again.
      rest = Buffer.from(rest);
      return pieces;
    },
    flush() {
      return rest.length === 0 ? [] : [take(rest.length)];
    },
  };
}

/** The largest cut at or below `limit` that does not fall into a character; `limit` itself when the bytes are no UTF-8. */
function characterBoundary(bytes: Buffer, limit: number): number {
  for (let cut = limit; cut > limit - 4 && cut > 0; cut -= 1) {
    if (((bytes[cut] ?? 0) & 0xc0) !== 0x80) return cut;
  }
  return limit;
}

/** The first line of a body, without its newline, and what follows it. A body without any is taken for one line. */
export async function firstLine(
  body: AsyncIterable<Uint8Array>,
  limit = MAX_FIRST_BYTES,
): Promise<{ line: string; rest: AsyncGenerator<Uint8Array> }> {
  const chunks = body[Symbol.asyncIterator]();
  let held: Buffer = Buffer.alloc(0);
  for (;;) {
    const newline = held.indexOf(NEWLINE);
    if (newline >= 0) return { line: held.toString("utf8", 0, newline), rest: rest(held.subarray(newline + 1)) };
    const next = held.length > limit ? undefined : await chunks.next();
    if (!next || next.done) return { line: held.toString("utf8"), rest: rest(Buffer.alloc(0)) };
    held = Buffer.concat([held, next.value]);
  }

  async function* rest(first: Buffer): AsyncGenerator<Uint8Array> {
    if (first.length > 0) yield first;
    for (let next = await chunks.next(); !next.done; next = await chunks.next()) yield next.value;
  }
}
