/**
 * The form in which a log outlives its process: one object `_flyte_log` in the attempt's folder.
 *
 *     flyte-ts-log 1\n
 *     <epoch ms>␠<bytes of the line>\n        a line that ended with a newline
 *     <epoch ms>+<bytes of the piece>\n       a piece without newline: the last one, or part of a very long line
 *
 * Bytes are as the process wrote them, also when they are no UTF-8. Readable by eye, appendable, streamable.
 */
import { lineCutter, MAX_PIECE_BYTES, type Piece } from "./lines.ts";
import type { LogLine } from "./log-store.ts";

export const HEADER = "flyte-ts-log 1\n";
const NEWLINE = 0x0a;
const PLUS = 0x2b;

export function encodePiece(piece: Piece, atMs: number): Buffer {
  const whole = piece.bytes.at(-1) === NEWLINE;
  return Buffer.concat([
    Buffer.from(`${atMs}${whole ? " " : "+"}`),
    piece.bytes,
    ...(whole ? [] : [Buffer.from("\n")]),
  ]);
}

/** Reads a stored log back; throws when it is not one. */
export async function* decodeLog(body: AsyncIterable<Uint8Array>, maxLines: number): AsyncGenerator<LogLine[]> {
  // A stored line is longer than its piece by the time stamp.
  const cutter = lineCutter(0, MAX_PIECE_BYTES + 32);
  let header = false;
  let lines: LogLine[] = [];
  for await (const chunk of body) {
    for (const { bytes } of cutter.push(Buffer.from(chunk))) {
      if (!header) {
        if (bytes.toString() !== HEADER) throw new Error("this is not a log of this product, or of a newer version");
        header = true;
        continue;
      }
      lines.push(decodeLine(bytes));
      if (lines.length >= maxLines) {
        yield lines;
        lines = [];
      }
    }
  }
  if (lines.length > 0) yield lines;
}

function decodeLine(bytes: Buffer): LogLine {
  let mark = 0;
  while (mark < bytes.length && (bytes[mark] as number) >= 0x30 && (bytes[mark] as number) <= 0x39) mark += 1;
  const piece = bytes[mark] === PLUS;
  return {
    timestamp: new Date(Number(bytes.toString("latin1", 0, mark))),
    message: bytes.toString("utf8", mark + 1, piece ? bytes.length - 1 : bytes.length),
  };
}
