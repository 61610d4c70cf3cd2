/** Processes by pid and start time, so that a pid given to another one is never taken for the first. Linux only. */
import { readdirSync, readFileSync } from "node:fs";

/** Undefined when there is no such process, or it has ended and waits to be reaped. */
export function startTimeOf(pid: number): string | undefined {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ").at(-1)?.split(" ") ?? [];
    // Of a process that was killed the first thread may be over while others still hold its ports.
    const isOver = fields[0] === "Z" && readdirSync(`/proc/${pid}/task`).length <= 1;
    return isOver ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

export function isRunning({ pid, started }: { pid: number; started: string }): boolean {
  return startTimeOf(pid) === started;
}
