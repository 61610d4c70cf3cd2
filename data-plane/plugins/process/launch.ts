/**
 * Starts an attempt's process so that it outlives the server and can be judged without it.
 *
 * A small shell stands between: it claims the attempt by creating its pid file (which fails if it exists: a second start
 * ends there, whatever led to it), runs the command in the foreground, and writes status and CPU time to a file. It
 * heads a session and process group of its own; output goes straight into the log file.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { open } from "node:fs/promises";
import type { AttemptFolder } from "./attempt-folder.ts";

/** `:` as handler, not `''`: what is ignored would be ignored in the command too. */
const WRAPPER = `d=$1; shift
set -C
st=
[ -r /proc/$$/stat ] && read -r st < /proc/$$/stat
echo "$$ $st" > "$d/pid" || exit 125
set +C
trap : TERM INT HUP
"$@"
s=$?
{ echo $s; times; echo end; } > "$d/exit"
exit $s`;

export interface StartOptions {
  folder: AttemptFolder;
  argv: readonly string[];
  env: Readonly<Record<string, string>>;
}

/** The running wrapper. Throws when the system cannot start it; then nothing runs. */
export async function start({ folder, argv, env }: StartOptions): Promise<ChildProcess> {
  const log = await open(folder.log, "a");
  try {
    const child = spawn("/bin/sh", ["-c", WRAPPER, "flyte-attempt", folder.path, ...argv], {
      cwd: folder.work,
      env: { ...env },
      detached: true,
      stdio: ["ignore", log.fd, log.fd],
    });
    if (child.pid === undefined) {
      const [error] = await once(child, "error");
      throw error;
    }
    // Signals to it fail with an `error` event when it is gone; its end is seen elsewhere.
    child.on("error", () => {});
    child.unref();
    return child;
  } finally {
    await log.close();
  }
}
