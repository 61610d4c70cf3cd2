/** A verb of `flyte-ts` as a child process, started as people start it, with the launcher's settings of Node. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

export interface Program {
  /** What it said when it was ready. */
  ready: Readonly<Record<string, unknown>>;
  stop(): Promise<void>;
}

const launcher = fileURLToPath(new URL("../flyte-ts", import.meta.url));

/** `args` make it say in JSON when it is ready. */
export async function startProgram(args: readonly string[], env: Record<string, string> = {}): Promise<Program> {
  const child = spawn(launcher, args, { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(child, "exit");
  // A benchmark that is interrupted leaves nothing running.
  const lastResort = () => void child.kill("SIGTERM");
  process.once("exit", lastResort);
  void exited.then(() => process.off("exit", lastResort));
  async function stop(): Promise<void> {
    child.kill("SIGTERM");
    await exited;
  }
  for await (const line of createInterface({ input: child.stdout })) {
    const event = JSON.parse(line) as Record<string, unknown>;
    if (event.event !== "ready") continue;
    child.stdout.resume();
    return { ready: event, stop };
  }
  await exited;
  throw new Error(`flyte-ts ${args[0]} ended before it was ready; its own words are above`);
}
