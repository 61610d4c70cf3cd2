/**
 * Finds the test server that all test processes of this user share, or starts it. The server is kept by a process of
 * its own (`shared-server-main.ts`), which says in `server.json` how to reach it.
 */
import { spawn } from "node:child_process";
import { chmod, lstat, mkdir, open, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import pg from "pg";
import { findBinaries } from "../embedded/binaries.ts";
import { isAlive } from "../embedded/server-process.ts";

export interface TestServerState {
  readonly url: string;
  /** Of the process that keeps the server. */
  readonly pid: number;
}

/** A notification on this channel ends the server. */
export const stopChannel = "flyte_ts_test_server_stop";
export const folderVariable = "FLYTE_TS_TEST_SERVER_DIR";
const startTimeoutMs = 90_000;
const stopTimeoutMs = 40_000;
const pollMs = 50;

/** The URL of a database on the test server, started if need be. */
export async function testServerUrl(): Promise<string> {
  const given = process.env.FLYTE_TS_TEST_DATABASE_URL;
  if (given) return given;
  const folder = await testServerFolder();
  const deadline = Date.now() + startTimeoutMs;
  let keeper: { failed: () => boolean; running: () => boolean } | undefined;
  for (;;) {
    const url = await answeringUrl(folder);
    if (url !== undefined) return url;
    if (keeper?.failed() || Date.now() > deadline) {
      const said = await readFile(keeperLog(folder), "utf8").catch(() => "");
      throw new Error(`The test database server did not start: ${said.trim().slice(-1_000)} See ${folder}.`);
    }
    if (!keeper?.running()) keeper = await startKeeper(folder);
    await sleep(pollMs);
  }
}

/** Ends the shared server and waits until it is gone; nothing happens when none runs. Called when a test run is over. */
export async function stopTestServer(): Promise<void> {
  const folder = await testServerFolder();
  const state = await readState(folder);
  if (state === undefined || !isAlive(state.pid)) return;
  const client = new pg.Client({ connectionString: state.url, connectionTimeoutMillis: 5_000 });
  client.on("error", () => {});
  try {
    await client.connect();
    await client.query(`notify ${stopChannel}`);
  } catch {
    // It is not answering, so it is ending already (or was ended by force, and its keeper will not come back).
  } finally {
    await client.end().catch(() => {});
  }
  const deadline = Date.now() + stopTimeoutMs;
  while (isAlive(state.pid)) {
    if (Date.now() > deadline)
      throw new Error(`The test database server (process ${state.pid}) does not stop. End it by hand.`);
    await sleep(pollMs);
  }
}

/** Private to this user; another user's folder of that name is refused. */
async function testServerFolder(): Promise<string> {
  const uid = process.geteuid?.() ?? 0;
  const usual = join(tmpdir(), `flyte-ts-test-pg-${uid}-${(await findBinaries()).version}`);
  const folder = process.env[folderVariable] || usual;
  // The database's own user must be able to pass through.
  await mkdir(folder, { recursive: true, mode: 0o711 });
  const info = await lstat(folder);
  if (!info.isDirectory() || info.uid !== uid || (info.mode & 0o022) !== 0) {
    throw new Error(
      `The test server's folder ${folder} belongs to or can be changed by another user. Remove it, or set TMPDIR.`,
    );
  }
  if ((info.mode & 0o777) !== 0o711) await chmod(folder, 0o711);
  return folder;
}

export function stateFile(folder: string): string {
  return join(folder, "server.json");
}

function keeperLog(folder: string): string {
  return join(folder, "keeper.log");
}

async function readState(folder: string): Promise<TestServerState | undefined> {
  const text = await readFile(stateFile(folder), "utf8").catch(() => undefined);
  return text === undefined ? undefined : (JSON.parse(text) as TestServerState);
}

/** The URL in `server.json` if its keeper lives and the server lets us in. */
export async function answeringUrl(folder: string): Promise<string | undefined> {
  const state = await readState(folder);
  if (state === undefined || !isAlive(state.pid)) return undefined;
  const client = new pg.Client({ connectionString: state.url, connectionTimeoutMillis: 5_000 });
  client.on("error", () => {});
  try {
    await client.connect();
    return state.url;
  } catch {
    return undefined;
  } finally {
    await client.end().catch(() => {});
  }
}

async function startKeeper(folder: string): Promise<{ failed: () => boolean; running: () => boolean }> {
  const log = await open(keeperLog(folder), "w", 0o600);
  const main = fileURLToPath(new URL("./shared-server-main.ts", import.meta.url));
  // A test runner speaks to its children through NODE_OPTIONS and NODE_TEST_CONTEXT; the keeper is none of them.
  const { NODE_OPTIONS: _, NODE_TEST_CONTEXT: __, ...env } = process.env;
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", main, folder], {
    cwd: "/",
    detached: true,
    env,
    stdio: ["ignore", log.fd, log.fd],
  });
  await log.close();
  child.on("error", () => {});
  child.unref();
  return {
    failed: () => child.pid === undefined || (child.exitCode ?? 0) !== 0 || child.signalCode !== null,
    running: () => child.pid !== undefined && child.exitCode === null && child.signalCode === null,
  };
}
