/**
 * What a killed predecessor left behind: a server that still runs on our data (stopped properly, because its settings
 * and its supervision are gone), or a lock file that names a process which is not a server of this data at all.
 */
import { execFile } from "node:child_process";
import { readFile, readlink, realpath, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { EmbeddedPostgresError } from "./embedded-postgres-error.ts";
import { isAlive } from "./server-process.ts";

export interface LockFile {
  readonly pid: number;
  readonly ready: boolean;
}

const fastShutdownMs = 20_000;
const pollMs = 20;

/** The server's own lock file: the process id on the first line, on the eighth whether it accepts connections. */
export async function readLockFile(cluster: string): Promise<LockFile | undefined> {
  const text = await readFile(join(cluster, "postmaster.pid"), "utf8").catch(() => "");
  const lines = text.split("\n");
  const pid = Number(lines[0]);
  if (!Number.isInteger(pid) || pid <= 1) return undefined;
  return { pid, ready: lines[7]?.trim() === "ready" };
}

/**
 * Leaves the cluster without a running server; true when there was one. The lock files of a dead one are removed where
 * PostgreSQL itself would take their process id for a living server: the number was given to another process since, or
 * the dead process has not been reaped. Its own check of the shared memory still guards against orphaned children.
 */
export async function stopSurvivor(cluster: string, socketLock: string): Promise<boolean> {
  const lock = await readLockFile(cluster);
  const survived = lock !== undefined && isAlive(lock.pid) && (await isServerOf(lock.pid, cluster));
  if (survived) await stopPid(lock.pid);
  if (lock !== undefined && isAlive(lock.pid)) await rm(join(cluster, "postmaster.pid"), { force: true });
  await rm(socketLock, { force: true });
  return survived;
}

/** Fast shutdown, then immediate shutdown. */
async function stopPid(pid: number): Promise<void> {
  for (const signal of ["SIGINT", "SIGQUIT", "SIGKILL"] as const) {
    signalIfAlive(pid, signal);
    const deadline = Date.now() + fastShutdownMs;
    while (Date.now() < deadline) {
      if (!isAlive(pid) || (await isZombie(pid))) return;
      await sleep(pollMs);
    }
  }
  throw new EmbeddedPostgresError(
    `An earlier PostgreSQL server (process ${pid}) still runs on this data directory and cannot be stopped. End it by hand and start again.`,
  );
}

function signalIfAlive(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** Ended, but its parent (a container's first process, perhaps) has not noticed. */
async function isZombie(pid: number): Promise<boolean> {
  const text = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  return text
    .slice(text.lastIndexOf(")") + 1)
    .trimStart()
    .startsWith("Z");
}

/** Whether the process is a PostgreSQL that works in this folder. */
export async function isServerOf(pid: number, cluster: string): Promise<boolean> {
  if (await isZombie(pid)) return false;
  if (process.platform === "linux") {
    const [program, folder] = await Promise.all([
      readlink(`/proc/${pid}/exe`).catch(() => ""),
      readlink(`/proc/${pid}/cwd`).catch(() => ""),
    ]);
    return basename(program.replace(/ \(deleted\)$/, "")) === "postgres" && folder === (await realpath(cluster));
  }
  const { stdout } = await promisify(execFile)("ps", ["-ww", "-o", "command=", "-p", String(pid)]).catch(() => ({
    stdout: "",
  }));
  return stdout.includes("postgres") && stdout.includes(`-D ${cluster}`);
}
