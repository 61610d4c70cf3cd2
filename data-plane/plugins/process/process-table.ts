/** What the operating system knows about processes that are not (any more) our children. Linux first; `ps` elsewhere. */
import { execFile } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { promisify } from "node:util";
import { type AttemptFolder, type PidRecord, statField } from "./attempt-folder.ts";

const onLinux = process.platform === "linux";

/** Changes with every boot; empty where the system does not tell. */
export async function bootId(): Promise<string> {
  return (await readProc("/proc/sys/kernel/random/boot_id")).trim();
}

/** How often the kernel killed a process of this machine for want of memory. */
export async function oomKills(): Promise<number> {
  return Number(/^oom_kill (\d+)$/m.exec(await readProc("/proc/vmstat"))?.[1] ?? 0);
}

/** True while the very process that claimed the attempt lives; a pid that was given to another one does not count. */
export async function isAlive(record: PidRecord, folder: AttemptFolder): Promise<boolean> {
  if (onLinux) {
    const line = await readProc(`/proc/${record.pid}/stat`);
    return line !== "" && statField(line, 3) !== "Z" && statField(line, 22) === record.startTicks;
  }
  try {
    const { stdout } = await promisify(execFile)("ps", ["-o", "args=", "-p", String(record.pid)]);
    // The wrapper carries its folder on its command line, and no other process does.
    return stdout.includes(folder.path);
  } catch {
    return false;
  }
}

/** Pids of all processes with this text in their environment or command line. */
export async function processesWith(token: string): Promise<number[]> {
  if (!onLinux) return [];
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const found: number[] = [];
  for (const pid of pids) {
    if (Number(pid) !== process.pid && (await readProc(`/proc/${pid}/environ`)).includes(token))
      found.push(Number(pid));
  }
  return found;
}

/** Peak resident memory of the command below the wrapper, so far; 0 when unknown. */
export async function peakRssBytes(wrapperPid: number): Promise<number> {
  if (!onLinux) return 0;
  const children = (await readProc(`/proc/${wrapperPid}/task/${wrapperPid}/children`)).trim().split(" ");
  let peak = 0;
  for (const child of children) {
    if (child === "") continue;
    const kilobytes = /^VmHWM:\s+(\d+) kB$/m.exec(await readProc(`/proc/${child}/status`))?.[1];
    peak = Math.max(peak, Number(kilobytes ?? 0) * 1024);
  }
  return peak;
}

/** Signals a process group; false when it has no member left. */
export function signalGroup(pgid: number, signal: NodeJS.Signals | 0): boolean {
  return deliver(-pgid, signal);
}

export function signalProcess(pid: number, signal: NodeJS.Signals | 0): boolean {
  return deliver(pid, signal);
}

function deliver(target: number, signal: NodeJS.Signals | 0): boolean {
  try {
    process.kill(target, signal);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return false;
    throw error;
  }
}

async function readProc(path: string): Promise<string> {
  try {
    return await readFile(path, "latin1");
  } catch {
    return "";
  }
}
