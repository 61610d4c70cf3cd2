/** The Range header: one byte range; anything else is ignored, as HTTP allows. */
import type { ByteRange } from "../object-store.ts";

/** The last bytes of an object. */
export interface SuffixRange {
  readonly last: number;
}

/** Reads a Range header; `undefined` asks for the whole. */
export function parseRange(header: string | undefined): ByteRange | SuffixRange | undefined {
  const match = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header ?? "");
  if (match === null) return undefined;
  const [, first, last] = match as unknown as [string, string, string];
  if (first === "") return last === "" ? undefined : { last: Number(last) };
  if (last === "") return { start: Number(first) };
  return Number(last) < Number(first) ? undefined : { start: Number(first), end: Number(last) };
}
