/** When a process began, as the system writes it: with its number it names one process for ever. */
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";

const run = promisify(execFile);

/** Undefined when there is no such process. */
export async function processStart(pid: number): Promise<string | undefined> {
  try {
    if (process.platform === "linux") {
      const stat = await readFile(`/proc/${pid}/stat`, "utf8");
      // The command name may hold blanks and brackets; field 22 counts from behind its last bracket.
      return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
    }
    const { stdout } = await run("ps", ["-o", "lstart=", "-p", String(pid)]);
    return stdout.trim() || undefined;
  } catch {
    return undefined;
  }
}
