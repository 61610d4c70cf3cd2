/** The SDK's own connector service as a child process, with the connectors of jobs_connector.py. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";

const HERE = dirname(fileURLToPath(import.meta.url));

export interface ConnectorService {
  readonly endpoint: string;
  start(): Promise<void>;
  /** SIGKILL: nothing is ended in order. */
  kill(): Promise<void>;
}

export interface ServiceOptions {
  python: string;
  /** See jobs_connector.py. */
  jobs: string;
  /** Default: flyte's own command `c0`. */
  command?: (port: number) => string[];
}

/** Not running yet; the port stays the same over restarts. */
export async function connectorService({ python, jobs, command }: ServiceOptions): Promise<ConnectorService> {
  const port = await freePort();
  const args = (command ?? c0)(port);
  const endpoint = `127.0.0.1:${port}`;
  let child: ChildProcess | undefined;

  async function kill(): Promise<void> {
    const current = child;
    child = undefined;
    if (!current || current.exitCode !== null || current.signalCode !== null) return;
    const ended = once(current, "exit");
    current.kill("SIGKILL");
    await ended;
  }

  return {
    endpoint,
    async start() {
      const started = spawn(python, args, {
        cwd: jobs,
        env: { ...process.env, JOBS: jobs, PYTHONPATH: HERE, PYTHONDONTWRITEBYTECODE: "1", DO_NOT_TRACK: "1" },
        stdio: ["ignore", "pipe", "pipe"],
      });
      child = started;
      let output = "";
      for (const stream of [started.stdout, started.stderr]) stream.on("data", (chunk) => (output += chunk));
      await until(async () => {
        if (started.exitCode !== null) throw new Error(`the connector service ended: ${output}`);
        return answers(port);
      });
    },
    kill,
  };
}

const c0 = (port: number) => [
  "-m",
  "flyte._bin.connect",
  "c0",
  "--port",
  String(port),
  "--prometheus_port",
  "0",
  "--modules",
  "jobs_connector",
];

export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 20));
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (typeof address !== "object" || !address) throw new Error("no free port");
  return address.port;
}
