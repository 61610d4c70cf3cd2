/** A server of its own for a benchmark: `flyte-ts up` on a new data directory, gone afterwards. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

export async function startServer(): Promise<{ url: string; stop(): Promise<void> }> {
  const dataDir = await mkdtemp(join(tmpdir(), "flyte-ts-bench-"));
  const launcher = fileURLToPath(new URL("../flyte-ts", import.meta.url));
  const child = spawn(launcher, ["up", "--json", "--port", "0", "--data-dir", dataDir], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const exited = once(child, "exit");
  async function stop(): Promise<void> {
    child.kill("SIGTERM");
    await exited;
    await rm(dataDir, { recursive: true, force: true });
  }
  for await (const line of createInterface({ input: child.stdout })) {
    const event = JSON.parse(line) as { event: string; url?: string };
    if (event.event === "ready" && event.url) return { url: event.url, stop };
  }
  await stop();
  throw new Error("the server ended before it was ready; its own words are above");
}
