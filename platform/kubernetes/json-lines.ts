/**
 * Lines out of the chunks of a stream, wherever the chunks were cut: in the middle of a line, of an object of megabytes,
 * of a character. Each byte is looked at once.
 */
export interface JsonLines {
  /** The values of the lines that this chunk completes, in order. */
  push(chunk: Buffer): unknown[];
}

const newline = 0x0a;

export function jsonLines(options: { maxLineBytes?: number } = {}): JsonLines {
  const maxLineBytes = options.maxLineBytes ?? 32 << 20;
  let parts: Buffer[] = [];
  let held = 0;

  return {
    push(chunk) {
      const values: unknown[] = [];
      let from = 0;
      for (let end = chunk.indexOf(newline); end !== -1; end = chunk.indexOf(newline, from)) {
        parts.push(chunk.subarray(from, end));
        from = end + 1;
        const line = (parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts)).toString("utf8");
        parts = [];
        held = 0;
        if (line.trim() !== "") values.push(JSON.parse(line));
      }
      if (from < chunk.length) {
        parts.push(from === 0 ? chunk : chunk.subarray(from));
        held += chunk.length - from;
        if (held > maxLineBytes) {
          throw new Error(
            `a line of more than ${maxLineBytes} bytes came from the API server; no object is that large`,
          );
        }
      }
      return values;
    },
  };
}
