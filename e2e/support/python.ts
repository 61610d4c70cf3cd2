/**
 * The official Python client on a home of its own: the SDK remembers uploaded bundles there, so a new server needs a new
 * home. Telemetry is off, and nothing of the tester's configuration is seen.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { cleanEnvironment, python, type Scope } from "./server.ts";
import { domain, project } from "./wire.ts";

export const tasks = fileURLToPath(new URL("../tasks/", import.meta.url));
const submitter = fileURLToPath(new URL("submit.py", import.meta.url));

/** One run to be made; `context` goes to `flyte.with_runcontext`. */
export interface Order {
  task: string;
  inputs?: Record<string, unknown>;
  context?: Record<string, unknown>;
}

export interface Output {
  code: number | null;
  stdout: string;
  stderr: string;
}

export interface PythonClient {
  /** Runs `flyte <args>` in the folder of our tasks. */
  flyte(...args: string[]): Promise<Output>;
  /** Makes runs of one module in `tasks/` with the SDK; their names come in order. */
  submit(module: string, ...orders: Order[]): Promise<string[]>;
  /** Where the client's configuration is, and its environment. */
  config: string;
  env: Record<string, string>;
}

export async function pythonClient(t: Pick<Scope, "after">, url: () => string): Promise<PythonClient> {
  const home = await mkdtemp(join(tmpdir(), "flyte-ts-client-"));
  t.after(() => rm(home, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 }));
  const config = join(home, ".flyte/config.yaml");
  const env = clientEnvironment(home, config);

  async function run(command: string, args: readonly string[], stdin = ""): Promise<Output> {
    await writeConfig(config, url());
    return runCommand(command, args, { cwd: tasks, env, stdin });
  }
  return {
    config,
    env,
    flyte: (...args) => run(join(dirname(python), "flyte"), ["-c", config, ...args]),
    async submit(module, ...orders) {
      const { code, stdout, stderr } = await run(python, [submitter, config, tasks, module], JSON.stringify(orders));
      if (code !== 0) throw new Error(`the runs of ${module} could not be made (exit code ${code}):\n${stderr}`);
      const names = stdout.split("\n").flatMap((line) => (line.startsWith("run ") ? [line.slice(4)] : []));
      if (names.length !== orders.length) throw new Error(`${names.length} of ${orders.length} runs made:\n${stdout}`);
      return names;
    },
  };
}

export async function writeConfig(file: string, url: string): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  await writeFile(
    file,
    `admin:\n  endpoint: "dns:///${new URL(url).host}"\n  insecure: true\n` +
      `image:\n  builder: local\ntask:\n  project: ${project}\n  domain: ${domain}\n`,
  );
}

export function clientEnvironment(home: string, config: string): Record<string, string> {
  return {
    ...cleanEnvironment(home),
    FLYTECTL_CONFIG: config,
    FLYTE_DISABLE_SENTRY: "1",
    DO_NOT_TRACK: "1",
    NO_COLOR: "1",
    TERM: "dumb",
    COLUMNS: "240",
    PYTHONDONTWRITEBYTECODE: "1",
    LOG_LEVEL: "40",
  };
}

export async function runCommand(
  command: string,
  args: readonly string[],
  options: { cwd: string; env: Record<string, string>; stdin?: string; signal?: AbortSignal },
): Promise<Output> {
  const { cwd, env, signal } = options;
  const child = spawn(command, args, { cwd, env, stdio: "pipe", ...(signal && { signal }) });
  // A command that ends without reading its input is not our failure; its exit code tells.
  child.stdin.on("error", () => undefined);
  child.stdin.end(options.stdin ?? "");
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (stderr += chunk.toString()));
  await once(child, "close");
  return { code: child.exitCode, stdout, stderr };
}
