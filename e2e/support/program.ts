/** A program of ours as a child process: started, waited for until it says that it is ready, and ended for sure. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { kill } from "./processes.ts";
import { waitFor } from "./wait.ts";

export const program = fileURLToPath(new URL("../../user-plane/cli/main.ts", import.meta.url));

export interface Running {
  /** What it said when it was ready. */
  ready: Readonly<Record<string, unknown>>;
  pid: number;
  exited: Promise<unknown>;
  child: ChildProcess;
}

export interface Launch {
  /** Its working directory and home. */
  home: string;
  logFile: string;
  /** Of the command line; `--json` among them. */
  args: readonly string[];
  env?: Readonly<Record<string, string>>;
}

export async function launch({ home, logFile, args, env }: Launch): Promise<Running> {
  const output = openSync(logFile, "a");
  const child = spawn(process.execPath, [program, ...args], {
    cwd: home,
    env: { ...cleanEnvironment(home), ...env },
    stdio: ["ignore", "pipe", output],
    detached: true,
  });
  closeSync(output);
  const exited = once(child, "exit");
  const ready = await Promise.race([readyEvent(child), exited.then(() => undefined)]);
  if (ready !== undefined && child.pid !== undefined) return { ready, pid: child.pid, exited, child };
  const log = await readFile(logFile, "utf8");
  // What it says to people stands in one line; without it, its log has to do.
  const cause = /^flyte-ts: (.*)$/m.exec(log)?.[1];
  throw new Error(
    cause ? `flyte-ts ${args[0]} did not start: ${cause}` : `flyte-ts ${args[0]} did not start:\n${log.slice(-4000)}`,
  );
}

async function readyEvent(child: ChildProcess): Promise<Running["ready"] | undefined> {
  if (!child.stdout) return undefined;
  for await (const line of createInterface({ input: child.stdout })) {
    const event = JSON.parse(line) as Record<string, unknown>;
    if (event.event === "ready") {
      child.stdout.resume();
      return event;
    }
  }
  return undefined;
}

/** SIGTERM; resolves with the exit code. */
export async function end({ child, exited, pid }: Running): Promise<number | null> {
  kill(pid, "SIGTERM");
  await Promise.race([
    exited,
    waitFor(() => child.exitCode !== null || child.signalCode !== null, {
      what: "the server's end after SIGTERM",
      deadlineMs: 60_000,
    }).catch((error: unknown) => {
      kill(-pid, "SIGKILL");
      throw error;
    }),
  ]);
  return child.exitCode;
}

/** Nothing of the tester's own settings reaches a server, a task or a client. */
export function cleanEnvironment(home: string): Record<string, string> {
  const kept = ["PATH", "LANG", "LC_ALL", "TMPDIR", "SSL_CERT_FILE", "LD_LIBRARY_PATH"];
  const env: Record<string, string> = { HOME: home };
  for (const name of kept) {
    const value = process.env[name];
    if (value !== undefined) env[name] = value;
  }
  return env;
}
