/**
 * What an attempt's process leaves on disk, so that it can be found, judged and never started twice, also by a server
 * that knows nothing else of it.
 *
 *     <data dir>/attempts/<run key>/<action>/<attempt>/
 *       launch.json   written before the start: token, time, boot, where outputs go
 *       pid           written by the process itself before it runs anything; it exists at most once
 *       exit          written by the process at its end: status and CPU time
 *       log, log.idx  stdout and stderr, and when their bytes arrived
 *       work/         the current directory
 */
import { mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";

export interface AttemptFolder {
  readonly path: string;
  readonly work: string;
  readonly log: string;
  readonly launch: string;
  readonly pid: string;
  readonly exit: string;
}

export function attemptFolder(root: string, key: string): AttemptFolder {
  const path = join(root, ...key.split("/").map(asFileName));
  return {
    path,
    work: join(path, "work"),
    log: join(path, "log"),
    launch: join(path, "launch.json"),
    pid: join(path, "pid"),
    exit: join(path, "exit"),
  };
}

/** Action names come from clients: whatever they hold, they stay one path segment. */
function asFileName(segment: string): string {
  if (segment === "") throw new Error("an attempt cannot have an empty run, action or number in its key");
  const name = encodeURIComponent(segment);
  return name === "." || name === ".." ? name.replaceAll(".", "%2E") : name;
}

/** Written before a process is started. */
export interface Launch {
  key: string;
  /** In the environment of everything the attempt starts. */
  token: string;
  startedAtMs: number;
  /** A pid means nothing after a reboot. */
  bootId: string;
  /** OOM kills of this machine so far. */
  oomKills: number;
  attemptUri: string;
}

export interface PidRecord {
  pid: number;
  /** Start time in clock ticks since boot; absent where the system does not tell. */
  startTicks?: string;
}

export interface ExitRecord {
  status: number;
  userCpuMs: number;
  systemCpuMs: number;
}

export async function writeLaunch(folder: AttemptFolder, launch: Launch): Promise<void> {
  await mkdir(folder.work, { recursive: true });
  const file = await open(`${folder.launch}.new`, "w");
  try {
    await file.writeFile(JSON.stringify(launch));
  } finally {
    await file.close();
  }
  await rename(`${folder.launch}.new`, folder.launch);
}

export async function readLaunch(folder: AttemptFolder): Promise<Launch | undefined> {
  const text = await readOptional(folder.launch);
  return text === undefined ? undefined : (JSON.parse(text) as Launch);
}

/** Undefined when no process claimed the attempt; `"unfinished"` while the claim is being written. */
export async function readPid(folder: AttemptFolder): Promise<PidRecord | "unfinished" | undefined> {
  const text = await readOptional(folder.pid);
  if (text === undefined) return undefined;
  if (!text.endsWith("\n")) return "unfinished";
  return parsePid(text);
}

/** `<pid> <line of /proc/pid/stat, where there is one>` */
export function parsePid(text: string): PidRecord {
  const [pid = "", ...rest] = text.trim().split(" ");
  const startTicks = statField(rest.join(" "), 22);
  return { pid: Number(pid), ...(startTicks === undefined ? {} : { startTicks }) };
}

/** A field of /proc/<pid>/stat by its number in proc(5); the second one, the name, may hold anything. */
export function statField(line: string, number: number): string | undefined {
  const end = line.lastIndexOf(")");
  if (end < 0) return undefined;
  return line.slice(end + 2).split(" ")[number - 3];
}

export async function readExit(folder: AttemptFolder): Promise<ExitRecord | undefined> {
  const text = await readOptional(folder.exit);
  return text === undefined ? undefined : parseExit(text);
}

/** Status, two lines of `times` (the shell's own and its children's), and `end`; anything less is not finished. */
export function parseExit(text: string): ExitRecord | undefined {
  const [status = "", , children = "", end] = text.split("\n");
  if (end !== "end" || !/^\d+$/.test(status)) return undefined;
  const [user = "", system = ""] = children.split(" ");
  return { status: Number(status), userCpuMs: minutesToMs(user), systemCpuMs: minutesToMs(system) };
}

/** `1m2.34s` */
function minutesToMs(text: string): number {
  const match = /^(\d+)m(\d+(?:[.,]\d+)?)s$/.exec(text);
  if (!match) return 0;
  return Math.round(Number(match[1]) * 60_000 + Number(match[2]?.replace(",", ".")) * 1000);
}

export async function removeFolder(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true });
}

async function readOptional(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    // ENOTDIR: something stands where the folder would be, so there is none.
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw error;
  }
}
