/**
 * Starts one of PostgreSQL's programs: under the server's user, in its own session (a Ctrl-C at the terminal is ours to
 * handle, not the database's), with next to no environment.
 *
 * When the server's user cannot pass through a folder above the data folder (below /root, say), the program gets the
 * folder as an open descriptor and reaches it through /proc/self/fd, which needs no passage through the parents.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { type FileHandle, open } from "node:fs/promises";
import { EmbeddedPostgresError } from "./embedded-postgres-error.ts";
import { canReach, type ServerIdentity } from "./server-identity.ts";

export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export interface ServerProcess {
  readonly pid: number;
  readonly child: ChildProcess;
  readonly exited: Promise<Exit>;
}

const folderDescriptor = 3;
const environment = { PATH: "/usr/local/bin:/usr/bin:/bin", LC_ALL: "C", TZ: "UTC" };

export interface ProgramStart {
  readonly program: string;
  readonly identity: ServerIdentity;
  readonly dataDir: string;
  /** Gets the path by which the program itself reaches the data folder. */
  readonly args: (dataDir: string) => readonly string[];
  /** Everything the program prints goes here. */
  readonly output: FileHandle;
}

export async function startProgram(start: ProgramStart): Promise<ServerProcess> {
  const { program, identity, dataDir, args, output } = start;
  const direct = await canReach(dataDir, identity);
  if (!direct && process.platform !== "linux") {
    throw new EmbeddedPostgresError(
      `User id ${identity.uid}, under which PostgreSQL must run, cannot reach ${dataDir}. Choose a data directory outside private folders such as your home, or do not start flyte-ts as root.`,
    );
  }
  const folder = direct ? undefined : await open(dataDir, "r");
  try {
    const child = spawn(program, args(folder ? `/proc/self/fd/${folderDescriptor}` : dataDir), {
      cwd: "/",
      detached: true,
      env: environment,
      stdio: ["ignore", output.fd, output.fd, ...(folder ? [folder.fd] : [])],
      ...(identity.foreign ? { uid: identity.uid, gid: identity.gid } : {}),
    });
    const exited = new Promise<Exit>((resolve) => child.once("exit", (code, signal) => resolve({ code, signal })));
    await once(child, "spawn");
    return { pid: child.pid as number, child, exited };
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const hint =
      code === "EPERM" && identity.foreign
        ? `this process is root but may not become user id ${identity.uid}; start flyte-ts as a normal user`
        : code === "ENOENT"
          ? "the program, or the C library it was built for (glibc), is missing on this machine"
          : "check that this folder allows running programs";
    throw new EmbeddedPostgresError(`${program} cannot be started (${code}): ${hint}, or use --database-url.`, {
      cause,
    });
  } finally {
    await folder?.close();
  }
}

/** Whether a process with this id exists, whoever owns it. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
