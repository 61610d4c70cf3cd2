/** Looks at what an attempt left on disk and in the process table, and says how far it is. Changes nothing. */
import type { ChildProcess } from "node:child_process";
import { constants } from "node:os";
import {
  type AttemptFolder,
  type ExitRecord,
  type Launch,
  type PidRecord,
  readExit,
  readLaunch,
  readPid,
} from "./attempt-folder.ts";
import { bootId, isAlive, processesWith } from "./process-table.ts";

export type Observation =
  /** Nothing was started. */
  | { kind: "none" }
  /** A start was prepared and its process is on the way; look again soon. */
  | { kind: "starting"; launch: Launch }
  | { kind: "running"; launch: Launch; pid: number }
  /** Without `exit` when it left no word: its wrapper was killed, or the machine went down. */
  | { kind: "ended"; launch: Launch; status: number | undefined; exit: ExitRecord | undefined };

/** `child` is the process when we started it ourselves; otherwise an earlier server did. */
export async function observe(folder: AttemptFolder, child: ChildProcess | undefined): Promise<Observation> {
  const launch = await readLaunch(folder);
  if (!launch) return { kind: "none" };
  if (child) {
    if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) {
      return { kind: "running", launch, pid: child.pid };
    }
  }
  const pid = await readPid(folder);
  // A start by an earlier server may have come first after all; then our own ended at the claim.
  if (child && (!pid || pid === "unfinished" || pid.pid === child.pid))
    return ended(folder, launch, childStatus(child));
  if (pid && pid !== "unfinished") {
    return (await lives(pid, launch, folder))
      ? { kind: "running", launch, pid: pid.pid }
      : ended(folder, launch, undefined);
  }
  // The server died between writing the launch and the first word of the process.
  if ((await processesWith(launch.token)).length > 0) return { kind: "starting", launch };
  // It may have claimed the attempt and ended since we looked.
  if ((await readPid(folder)) === undefined) return { kind: "none" };
  return ended(folder, launch, undefined);
}

async function lives(pid: PidRecord, launch: Launch, folder: AttemptFolder): Promise<boolean> {
  return launch.bootId === (await bootId()) && (await isAlive(pid, folder));
}

async function ended(folder: AttemptFolder, launch: Launch, status: number | undefined): Promise<Observation> {
  const exit = await readExit(folder);
  return { kind: "ended", launch, status: exit?.status ?? status, exit };
}

function childStatus(child: ChildProcess): number | undefined {
  if (child.exitCode !== null) return child.exitCode;
  return child.signalCode === null ? undefined : 128 + constants.signals[child.signalCode];
}
