/** A server of its own for a benchmark: `flyte-ts up` on a new data directory, gone afterwards. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startProgram } from "./program.ts";
import type { Wire } from "./wire.ts";

export async function startServer(): Promise<{ url: string; stop(): Promise<void> }> {
  const dataDir = await mkdtemp(join(tmpdir(), "flyte-ts-bench-"));
  const remove = () => rm(dataDir, { recursive: true, force: true });
  try {
    const server = await startProgram(["up", "--json", "--port", "0", "--data-dir", dataDir]);
    return { url: String(server.ready.url), stop: () => server.stop().finally(remove) };
  } catch (error) {
    await remove();
    throw error;
  }
}

/** The database and its durable settings, as the server's own metrics state them. */
export async function databaseOf(wire: Wire): Promise<string> {
  for (const name of (await wire.metrics()).keys()) {
    if (name.startsWith("flyte_database_info")) return name.slice(name.indexOf("{") + 1, -1);
  }
  return "unknown database";
}
