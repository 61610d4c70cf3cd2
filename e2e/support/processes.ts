/** Processes of this machine, as far as tests need them. What reads /proc finds nothing elsewhere. */
import { readdir, readFile, readlink } from "node:fs/promises";
import { join } from "node:path";

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** Kills one process (a negative number: its whole group); it may be gone already. */
export function kill(pid: number, signal: NodeJS.Signals): void {
  // 0, 1 and -1 mean this group, the system's first process and everybody: never what a test wants.
  if (!Number.isInteger(pid) || Math.abs(pid) <= 1) throw new Error(`${pid} is no process of ours`);
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** Live processes that work in `folder` or below. */
export async function processesWithin(folder: string): Promise<number[]> {
  const found: number[] = [];
  for (const name of await readdir("/proc").catch(() => [] as string[])) {
    if (!/^\d+$/.test(name)) continue;
    const cwd = await readlink(join("/proc", name, "cwd")).catch(() => "");
    if (cwd === folder || cwd.startsWith(`${folder}/`)) found.push(Number(name));
  }
  return found;
}

/** The PostgreSQL server of a data directory, by its own lock file. */
export async function postgresPid(dataDir: string): Promise<number | undefined> {
  const text = await readFile(join(dataDir, "postgres/cluster/postmaster.pid"), "utf8").catch(() => "");
  const pid = Number(text.split("\n")[0]);
  return pid > 0 ? pid : undefined;
}
