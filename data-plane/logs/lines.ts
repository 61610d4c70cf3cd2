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
