/**
 * The form in which a log outlives its process: one object `_flyte_log` in the attempt's folder.
 *
 *     flyte-ts-log 1\n
 *     <epoch ms>␠<bytes of the line>\n        a line that ended with a newline
 *     <epoch ms>+<bytes of the piece>\n       a piece without newline: the last one, or part of a very long line
 *     <epoch ms>!<bytes of the line>\n        a line of ours about the log
 *
 * Bytes are as the process wrote them, also when they are no UTF-8. Readable by eye, appendable, streamable.
 */
import { firstLine, lineCutter, MAX_PIECE_BYTES } from "./lines.ts";
import type { LogLine } from "./log-line.ts";

export const HEADER = "flyte-ts-log 1\n";
const NEWLINE = 0x0a;
const PLUS = 0x2b;
const EXCLAMATION = 0x21;
/** A stored line is longer than its piece by the time stamp and what stands before a container's lines. */
const MAX_STORED_BYTES = MAX_PIECE_BYTES + 1024;

export function encodePiece({ bytes, system }: { bytes: Buffer; system?: boolean }, atMs: number): Buffer {
  const whole = bytes.at(-1) === NEWLINE;
  return Buffer.concat([
    Buffer.from(`${atMs}${system ? "!" : whole ? " " : "+"}`),
    bytes,
    ...(whole ? [] : [Buffer.from("\n")]),
  ]);
}

export interface DecodedLines {
  lines: LogLine[];
  /** What they take in the stored form. */
  bytes: number;
}

/** Reads a stored log back; throws when it is not one. */
export async function* decodeLog(body: AsyncIterable<Uint8Array>, maxLines: number): AsyncGenerator<LogLine[]> {
  const { line, rest } = await firstLine(body);
  if (`${line}\n` !== HEADER) throw new Error("this is not a log of this product, or of a newer version");
  for await (const { lines } of decodeLines(rest, maxLines)) yield lines;
}

/** Reads stored lines without a header; what is no whole line at the end is left out. */
export async function* decodeLines(body: AsyncIterable<Uint8Array>, maxLines: number): AsyncGenerator<DecodedLines> {
  const cutter = lineCutter(0, MAX_STORED_BYTES);
  let decoded: DecodedLines = { lines: [], bytes: 0 };
  for await (const chunk of body) {
    for (const { bytes } of cutter.push(Buffer.from(chunk))) {
      decoded.lines.push(decodeLine(bytes));
      decoded.bytes += bytes.length;
      if (decoded.lines.length >= maxLines) {
        yield decoded;
        decoded = { lines: [], bytes: 0 };
      }
    }
  }
  if (decoded.lines.length > 0) yield decoded;
}

function decodeLine(bytes: Buffer): LogLine {
  let mark = 0;
  while (mark < bytes.length && (bytes[mark] as number) >= 0x30 && (bytes[mark] as number) <= 0x39) mark += 1;
  const piece = bytes[mark] === PLUS;
  return {
    timestamp: new Date(Number(bytes.toString("latin1", 0, mark))),
    message: bytes.toString("utf8", mark + 1, piece ? bytes.length - 1 : bytes.length),
    ...(bytes[mark] === EXCLAMATION ? { system: true } : {}),
  };
}

/** Where the log of an attempt is kept once it has ended. */
export function storedUri(attemptUri: string): string {
  return `${attemptUri}/_flyte_log`;
}
