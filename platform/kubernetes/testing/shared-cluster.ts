/**
 * Finds the test cluster that all test processes of this user share, or starts it. A process of its own keeps it
 * (`cluster-keeper.ts`), says in `cluster.json` how to reach it, and ends it when none of its users lives any more.
 */
import { spawn } from "node:child_process";
import { mkdir, mkdtemp, open, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { ClusterMode } from "../testing.ts";
import { isRunning, startTimeOf } from "./process-of.ts";

export interface ClusterState {
  readonly mode: ClusterMode;
  readonly kubeconfig: string;
  /** KUBE_RUN of scripts/kube. */
  readonly run: string;
  /** The keeper. */
  readonly pid: number;
  readonly started: string;
}

/** A cluster that has more serves as well; the simplest is the one to start. */
const serving: Readonly<Record<ClusterMode, readonly ClusterMode[]>> = {
  api: ["api", "control-plane", "node", "kwok"],
  "control-plane": ["control-plane", "node", "kwok"],
  node: ["node"],
  kwok: ["kwok"],
};
/** Set for a cluster of one test: its programs may be away, and it ends soon after its test process. */
export const mayBreakVariable = "FLYTE_TS_TEST_CLUSTER_MAY_BREAK";
const modes = serving.api;
const pollMs = 50;
/** Long enough for building Kubernetes from its sources, which happens once. */
const startTimeoutMs = 40 * 60_000;
const stopTimeoutMs = 30_000;

export async function sharedCluster(mode: ClusterMode): Promise<ClusterState> {
  for (const kind of serving[mode]) {
    const folder = folderOf(kind);
    if ((await readState(folder)) === undefined) continue;
    await register(folder);
    const state = await readState(folder);
    if (state) return state;
  }
  return start(await privateFolder(folderOf(mode)), mode, {});
}

/** One that nobody shares. `stop` ends it and removes what it left. */
export async function ownCluster(mode: ClusterMode, env: Record<string, string>) {
  const folder = await mkdtemp(join(tmpdir(), "fts-kube-"));
  const stop = async () => {
    await stopIn(folder, true);
    await rm(folder, { recursive: true, force: true });
  };
  try {
    return { state: await start(folder, mode, { ...env, [mayBreakVariable]: "1" }), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Ends the shared clusters that nobody uses any more. Called when a test run is over. */
export async function stopTestCluster(): Promise<void> {
  await Promise.all(modes.map((mode) => stopIn(folderOf(mode), false)));
}

async function start(folder: string, mode: ClusterMode, env: Record<string, string>): Promise<ClusterState> {
  await register(folder);
  const deadline = performance.now() + startTimeoutMs;
  let keeper: Keeper | undefined;
  for (;;) {
    const state = await readState(folder);
    if (state) return state;
    if (keeper?.failed() || performance.now() > deadline) {
      const said = await readFile(logFile(folder), "utf8").catch(() => "");
      throw new Error(`the test cluster (${mode}) did not start: ${said.trim().slice(-1_500)}`);
    }
    if (!keeper?.running()) keeper = await startKeeper(folder, mode, env);
    await sleep(pollMs);
  }
}

async function stopIn(folder: string, force: boolean): Promise<void> {
  const state = await readState(folder);
  if (state === undefined) return;
  if (force) await rm(usersDir(folder), { recursive: true, force: true });
  else await unregister(folder);
  if ((await livingUsers(folder)) > 0) return;
  process.kill(state.pid, "SIGTERM");
  const deadline = performance.now() + stopTimeoutMs;
  while (isRunning(state)) {
    if (performance.now() > deadline) throw new Error(`the test cluster's keeper (process ${state.pid}) does not stop`);
    await sleep(pollMs);
  }
}

function folderOf(mode: ClusterMode): string {
  return join(tmpdir(), `flyte-ts-test-kube-${process.geteuid?.() ?? 0}-${mode}`);
}

/** Keys of an administrator are in it. */
async function privateFolder(folder: string): Promise<string> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const info = await stat(folder);
  if (info.uid !== process.geteuid?.() || (info.mode & 0o077) !== 0) {
    throw new Error(`the test cluster's folder ${folder} is open to other users; remove it, or set TMPDIR`);
  }
  return folder;
}

export function stateFile(folder: string): string {
  return join(folder, "cluster.json");
}

function logFile(folder: string): string {
  return join(folder, "keeper.log");
}

function usersDir(folder: string): string {
  return join(folder, "users");
}

/** What the keeper said, while it lives. */
export async function readState(folder: string): Promise<ClusterState | undefined> {
  const text = await readFile(stateFile(folder), "utf8").catch(() => undefined);
  const state = text === undefined ? undefined : (JSON.parse(text) as ClusterState);
  return state && isRunning(state) ? state : undefined;
}

/** First this, then a look at the state: so the keeper never ends under somebody who has just come. */
async function register(folder: string): Promise<void> {
  await mkdir(usersDir(folder), { recursive: true, mode: 0o700 });
  await writeFile(join(usersDir(folder), String(process.pid)), startTimeOf(process.pid) ?? "");
}

async function unregister(folder: string): Promise<void> {
  await rm(join(usersDir(folder), String(process.pid)), { force: true });
}

export async function livingUsers(folder: string): Promise<number> {
  let count = 0;
  for (const name of await readdir(usersDir(folder)).catch(() => [])) {
    const file = join(usersDir(folder), name);
    const started = await readFile(file, "utf8").catch(() => "");
    if (started === "" || isRunning({ pid: Number(name), started })) count += 1;
    else await rm(file, { force: true });
  }
  return count;
}

interface Keeper {
  failed(): boolean;
  running(): boolean;
}

async function startKeeper(folder: string, mode: ClusterMode, more: Record<string, string>): Promise<Keeper> {
  const out = await open(logFile(folder), "w", 0o600);
  const main = fileURLToPath(new URL("./cluster-keeper.ts", import.meta.url));
  // A test runner speaks to its children through NODE_OPTIONS and NODE_TEST_CONTEXT; the keeper is none of them.
  const { NODE_OPTIONS: _, NODE_TEST_CONTEXT: __, ...env } = process.env;
  const child = spawn(process.execPath, ["--disable-warning=ExperimentalWarning", main, folder, mode], {
    cwd: "/",
    detached: true,
    env: { ...env, ...more },
    stdio: ["ignore", out.fd, out.fd],
  });
  await out.close();
  child.on("error", () => {});
  child.unref();
  return {
    failed: () => child.pid === undefined || (child.exitCode ?? 0) !== 0 || child.signalCode !== null,
    running: () => child.pid !== undefined && child.exitCode === null && child.signalCode === null,
  };
}
