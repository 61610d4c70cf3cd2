/**
 * A container's log as Kubernetes sends it (`<time> <line>`), as lines and pieces of lines, going on after a mark. Pure.
 *
 * Kubernetes can begin at a second at best, and may begin inside of a line. So a reader remembers the last line it has,
 * by its time and its number among lines of that time, looks for it in what comes, and goes on behind it.
 */
import { lineCutter } from "../../logs/index.ts";

/** The last line that was taken. */
export interface LogMark {
  /** Kubernetes' text, to the nanosecond. */
  stamp: string;
  /** From 1, among the lines of this time. */
  nth: number;
  /** Of the line's own bytes, without its time, so many were taken. */
  bytes: number;
  /** Its end is not among them. */
  open: boolean;
}

export interface KubeLine {
  /** Without the time; ends in a newline where the line does. */
  bytes: Buffer;
  /** Not the rest of a line that began before. */
  begins: boolean;
  atMs: number;
  /** Where to go on when this was taken. */
  mark: LogMark;
}

export interface KubeLines {
  push(chunk: Buffer): KubeLine[];
  /** `whole`: the container has ended, so what has no newline is its last line; else it is left for the next reading. */
  end(whole: boolean): KubeLine[];
  /** The marked line came by, or none was looked for. */
  readonly found: boolean;
  /** The mark was not found: between it and the first line that came out, lines may be missing. */
  readonly lost: boolean;
  /** What a kubelet wrote instead of a log. */
  readonly said: string | undefined;
}

const SPACE = 0x20;
const NEWLINE = 0x0a;
const MAX_STAMP_BYTES = 40;
const STAMP = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/;
const MAX_SAID = 300;
/** Streams of one container are stamped before they are put in line, so a later time alone does not mean a later line. */
const DISORDER_MS = 2_000;
const MAX_HELD_BYTES = 128 * 1024;
/** Equal times stand close to each other. */
const COUNTED = 64;

export function kubeLines(from?: LogMark): KubeLines {
  const cutter = lineCutter();
  let sought = from;
  /** Later than the mark by their time, while it is looked for. */
  let held: KubeLine[] = [];
  let heldBytes = 0;
  let found = from === undefined;
  let lost = false;
  let said: string | undefined;
  let mark: LogMark = { stamp: "", nth: 0, bytes: 0, open: false };
  let atMs = 0;
  /** Bytes of the line at hand that were taken before; all of them when it was taken whole. */
  let skip = 0;
  /** How often the latest times came. */
  const counts = new Map<string, number>();

  function count(stamp: string): number {
    const nth = (counts.get(stamp) ?? 0) + 1;
    counts.set(stamp, nth);
    if (counts.size > COUNTED) counts.delete(counts.keys().next().value as string);
    return nth;
  }

  function seek(line: KubeLine, goal: LogMark): KubeLine[] {
    const { stamp, nth } = line.mark;
    if (stamp === goal.stamp && nth === goal.nth) {
      skip = goal.open ? goal.bytes : Number.POSITIVE_INFINITY;
      sought = undefined;
      found = true;
      held = [];
      return rest(line);
    }
    if (!isLater(stamp, goal.stamp)) return [];
    held.push(line);
    heldBytes += line.bytes.length;
    return heldBytes > MAX_HELD_BYTES || atMs - Date.parse(goal.stamp) > DISORDER_MS ? giveUp() : [];
  }

  function giveUp(): KubeLine[] {
    lost ||= held.length > 0;
    sought = held.length > 0 ? undefined : sought;
    const lines = held;
    held = [];
    return lines;
  }

  /** What of the line was not taken before. */
  function rest(line: KubeLine): KubeLine[] {
    if (skip === 0) return [line];
    const left = line.bytes.length - skip;
    skip = Math.max(0, skip - line.bytes.length);
    return left > 0 ? [{ ...line, bytes: line.bytes.subarray(-left), begins: false }] : [];
  }

  function take(bytes: Buffer): KubeLine[] {
    const begins = !mark.open;
    const whole = bytes.at(-1) === NEWLINE;
    let content = bytes;
    if (begins) {
      const space = bytes.subarray(0, MAX_STAMP_BYTES).indexOf(SPACE);
      const stamp = space < 0 ? "" : bytes.toString("latin1", 0, space);
      if (!STAMP.test(stamp)) {
        // The rest of a line that began before the second we asked for, or a kubelet's own words.
        said ??= bytes.toString("utf8", 0, MAX_SAID).trim();
        return [];
      }
      content = bytes.subarray(space + 1);
      atMs = Date.parse(stamp);
      mark = { stamp, nth: count(stamp), bytes: 0, open: true };
      skip = 0;
    }
    mark = { ...mark, bytes: mark.bytes + content.length, open: !whole };
    const line = { bytes: content, begins, atMs, mark };
    if (sought) return seek(line, sought);
    return rest(line);
  }

  return {
    push: (chunk) => cutter.push(chunk).flatMap(({ bytes }) => take(bytes)),
    end(whole) {
      const last = whole ? cutter.flush().flatMap(({ bytes }) => take(bytes)) : [];
      return sought ? [...last, ...giveUp()] : last;
    },
    get found() {
      return found;
    },
    get lost() {
      return lost;
    },
    get said() {
      return mark.stamp === "" ? said : undefined;
    },
  };
}

/** Kubelets write times of one length, mostly of one zone. */
function isLater(a: string, b: string): boolean {
  const sameForm = a.length === b.length && zoneOf(a) === zoneOf(b);
  return sameForm ? a > b : Date.parse(a) > Date.parse(b);
}

function zoneOf(stamp: string): string {
  return stamp.endsWith("Z") ? "Z" : stamp.slice(-6);
}

/**
 * The second from which a log is to be read so that the marked line is in it, and so is what stands behind it with a
 * slightly earlier time.
 */
export function sinceOf({ stamp }: LogMark): string {
  return new Date((Math.floor(Date.parse(stamp) / 1000) - 1) * 1000).toISOString().replace(".000Z", "Z");
}
