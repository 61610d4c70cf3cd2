/** For the tests of the embedded server: starting it here or in a process of its own, and asking it something. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import type { TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { openDatabase } from "../database.ts";
import { type EmbeddedPostgres, startEmbeddedPostgres } from "../embedded/start-embedded-postgres.ts";
import { defer } from "./support.ts";

export const owner = fileURLToPath(new URL("./server-owner.ts", import.meta.url));

export function recordingLog() {
  const messages: string[] = [];
  const add = (_: object, message: string) => messages.push(message);
  return { messages, info: add, warn: add, error: add };
}

export async function startIn(t: TestContext, dataDir: string, log = recordingLog()): Promise<EmbeddedPostgres> {
  const server = await startEmbeddedPostgres({ dataDir, log });
  defer(t, () => server.stop());
  return server;
}

export async function ask(server: { url: string }, text: string): Promise<unknown[]> {
  const database = openDatabase({ url: server.url, max: 1 });
  try {
    return (await database.query({ text })).rows;
  } finally {
    await database.close();
  }
}

/** A server whose owner is a process of its own, for killing. */
export async function startOwner(
  t: TestContext,
  dataDir: string,
  as: { uid?: number; gid?: number; env?: NodeJS.ProcessEnv } = {},
) {
  const child = spawn(process.execPath, [owner, dataDir], { stdio: ["pipe", "pipe", "inherit"], ...as });
  const ended = once(child, "exit").then(() => Promise.reject(new Error("the owner ended before it was ready")));
  const [line] = (await Promise.race([once(child.stdout, "data"), ended])) as [Buffer];
  ended.catch(() => {});
  defer(t, () => child.stdin.end());
  return { child, ...(JSON.parse(line.toString()) as { pid: number; url: string; socketDir: string }) };
}

export async function killAndWait(child: ChildProcess): Promise<void> {
  const exited = once(child, "exit");
  child.kill("SIGKILL");
  await exited;
}
