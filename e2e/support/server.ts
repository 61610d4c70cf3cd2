/**
 * The real program for a test: `flyte-ts up` as a child process on a folder of its own.
 *
 * ```ts
 * const server = await startServer(t);
 * await server.kill9();
 * await server.start(); // the same data directory and port
 * ```
 *
 * Node runs the command line's main file itself, so that a signal reaches the server and no launcher. When the test ends,
 * the server, its PostgreSQL, tasks left behind and the folder go; a failed test prints the end of the server's log.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { kill, postgresPid, processesWithin } from "./processes.ts";
import { cleanEnvironment, end, launch, program, type Running } from "./program.ts";

export { cleanEnvironment };

/** The Python with the flyte package that tasks and clients run with. */
export const python = process.env.FLYTE_TS_PYTHON ?? fileURLToPath(new URL("../../.venv/bin/python", import.meta.url));

/** What we use of node:test's context; `{ after }` of node:test gives one server to a whole file. */
export interface Scope {
  after(hook: () => Promise<void>): void;
  readonly error?: unknown;
  diagnostic?(message: string): void;
}

export interface ServerOptions {
  /** More arguments of `up`. */
  args?: readonly string[];
  env?: Readonly<Record<string, string>>;
  /** Given, the folder is the caller's to remove. */
  dataDir?: string;
  /** False: the folder is made, and `start()` is for the caller. */
  start?: boolean;
}

export interface TestServer {
  readonly url: string;
  /** Of the server as it runs now. */
  readonly pid: number;
  readonly dataDir: string;
  /** What the servers on this data directory have written so far. */
  log(): Promise<string>;
  start(): Promise<void>;
  /** SIGTERM; resolves with the exit code. */
  stop(): Promise<number | null>;
  /** SIGKILL for the server, its process group and its PostgreSQL; tasks stay. */
  kill9(): Promise<void>;
  restart(): Promise<void>;
}

export async function startServer(t: Scope, options: ServerOptions = {}): Promise<TestServer> {
  const home = await mkdtemp(join(tmpdir(), "flyte-ts-e2e-"));
  // PostgreSQL may run as another user, who must reach its folder.
  await chmod(home, 0o711);
  const dataDir = options.dataDir ?? join(home, "data");
  const logFile = join(home, "server.log");
  await mkdir(dataDir, { recursive: true, mode: 0o711 });
  let running: Running | undefined;
  let starting: Promise<Running> | undefined;
  let port = "0";

  const server: TestServer = {
    get url() {
      if (!running) throw new Error("the server does not run");
      return String(running.ready.url);
    },
    get pid() {
      if (!running) throw new Error("the server does not run");
      return running.pid;
    },
    dataDir,
    log: () => readFile(logFile, "utf8").catch(() => ""),
    async start() {
      const args = ["up", "--json", "--data-dir", dataDir, "--python", python, ...(options.args ?? [])];
      // Tasks that live through a restart know the address they were given.
      if (!args.includes("--port")) args.push("--port", port);
      starting = launch({ home, logFile, args, env: options.env ?? {} });
      running = await starting;
      port = new URL(server.url).port;
    },
    async stop() {
      // One that was asked to end while it starts is waited for, or it would outlive us.
      await starting?.catch(() => undefined);
      const ended = running;
      running = undefined;
      return ended ? end(ended) : null;
    },
    async kill9() {
      if (!running) return;
      const { pid, exited } = running;
      running = undefined;
      const postgres = await postgresPid(dataDir);
      kill(-pid, "SIGKILL");
      if (postgres) kill(postgres, "SIGKILL");
      await exited;
    },
    async restart() {
      await server.stop();
      await server.start();
    },
  };
  // A test file that breaks outside of its tests runs no hooks.
  const lastResort = () => running && kill(running.pid, "SIGTERM");
  process.once("exit", lastResort);
  t.after(async () => {
    process.off("exit", lastResort);
    await server.stop();
    for (const pid of await processesWithin(dataDir)) kill(pid, "SIGKILL");
    if (t.error) t.diagnostic?.(`the server's last words:\n${(await server.log()).slice(-6000)}`);
    await rm(home, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  });
  if (options.start !== false) await server.start();
  return server;
}

export interface Refusal {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Runs `flyte-ts <args>` to its end, for starts that must fail. */
export async function runProgram(
  t: Scope,
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<Refusal> {
  const home = await mkdtemp(join(tmpdir(), "flyte-ts-e2e-"));
  await chmod(home, 0o711);
  t.after(() => rm(home, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 }));
  const child = spawn(process.execPath, [program, ...args], {
    cwd: home,
    env: { ...cleanEnvironment(home), ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "exit")]);
  return { code: child.exitCode, stdout, stderr };
}

async function text(stream: NodeJS.ReadableStream): Promise<string> {
  let all = "";
  for await (const chunk of stream) all += chunk.toString();
  return all;
}
