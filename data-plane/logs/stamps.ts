/**
 * When the bytes of a log arrived: a growing list of "up to this offset by this time". Pure; the text form is one
 * `<offset> <epoch ms>` a line.
 */
export interface Stamps {
  /** Bytes up to `end` had arrived at `atMs`. */
  add(end: number, atMs: number): void;
  /** When the byte at `offset` arrived; undefined while it has not. */
  at(offset: number): number | undefined;
  /** Bytes that are stamped. */
  readonly end: number;
}

/** More entries than this are thinned out: times of very long logs get coarser, memory stays small. */
const MAX_ENTRIES = 16_384;

export function stamps(): Stamps {
  let ends: number[] = [];
  let times: number[] = [];
  return {
    add(end, atMs) {
      if (end <= (ends.at(-1) ?? 0)) return;
      if (ends.length >= MAX_ENTRIES) {
        ends = ends.filter((_, index) => index % 2 === 1);
        times = times.filter((_, index) => index % 2 === 1);
      }
      ends.push(end);
      times.push(atMs);
    },
    at(offset) {
      let low = 0;
      let high = ends.length;
      while (low < high) {
        const middle = (low + high) >> 1;
        if ((ends[middle] as number) <= offset) low = middle + 1;
        else high = middle;
      }
      return times[low];
    },
    get end() {
      return ends.at(-1) ?? 0;
    },
  };
}

export function stampText(end: number, atMs: number): string {
  return `${end} ${atMs}\n`;
}

/** Reads the text form; a torn last line is left out. */
export function parseStamps(text: string): Stamps {
  const read = stamps();
  for (const match of text.matchAll(/^(\d+) (\d+)\n/gm)) read.add(Number(match[1]), Number(match[2]));
  return read;
}
