/**
 * The process that keeps a test cluster: `node cluster-keeper.ts <folder> <mode>`. Many may be started at once; the one
 * that gets the lock serves. It builds and starts the cluster, and ends it when no user has lived for a minute (or at
 * once after SIGTERM), or when one of its programs is gone, so that the next user gets a whole one.
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { ClusterMode } from "../testing.ts";
import { kubeScripts } from "./prerequisites.ts";
import { isRunning, startTimeOf } from "./process-of.ts";
import { type ClusterState, livingUsers, mayBreakVariable, readState, stateFile } from "./shared-cluster.ts";

const idleMs = mayBreak() ? 3_000 : 60_000;
const lookMs = 1_000;
/** As many as up.sh takes; below the range the system gives to clients. */
const portBlock = 10;
const firstPort = 20_000;
const lastPort = 32_000;
const crds = fileURLToPath(new URL("../../../deploy/crd/", import.meta.url));

async function main(folder: string, mode: ClusterMode): Promise<void> {
  const lock = await takeLock(folder);
  if (lock === undefined) return;
  const stopped = new AbortController();
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => stopped.abort());
  const run = join(folder, "run");
  const env = { ...process.env, KUBE_RUN: run };
  try {
    await rm(stateFile(folder), { force: true });
    await down(run, env);
    await script("build.sh", mode === "node" || mode === "kwok" ? ["control-plane", mode] : ["control-plane"], env);
    const more = { KUBE_PORT: String(await freePorts()), KUBE_APPLY: await manifests() };
    const kubeconfig = await script("up.sh", [`--${mode}`], { ...env, ...more });
    await keep(folder, { mode, kubeconfig, run, pid: process.pid, started: started() }, stopped.signal);
  } finally {
    await rm(stateFile(folder), { force: true });
    await down(run, env);
    lock.close();
  }
}

/** Until nobody uses it. The state is taken away first and users are looked for once more: one may just have come. */
async function keep(folder: string, state: ClusterState, stop: AbortSignal): Promise<void> {
  await publish(folder, state);
  let lastUse = performance.now();
  for (;;) {
    await sleep(stop.aborted ? 50 : lookMs, undefined, { signal: stop.aborted ? undefined : stop }).catch(() => {});
    if (!mayBreak() && !(await isWhole(state.run))) return;
    if ((await livingUsers(folder)) > 0) lastUse = performance.now();
    else if (stop.aborted || performance.now() - lastUse > idleMs) {
      await rm(stateFile(folder), { force: true });
      if ((await livingUsers(folder)) === 0) return;
      await publish(folder, state);
    }
  }
}

function started(): string {
  return startTimeOf(process.pid) as string;
}

function mayBreak(): boolean {
  return process.env[mayBreakVariable] !== undefined;
}

/** SQLite's file lock is let go by the system when its holder dies. Undefined when another keeper serves already. */
async function takeLock(folder: string): Promise<DatabaseSync | undefined> {
  const lock = new DatabaseSync(join(folder, "keeper.lock"));
  for (;;) {
    try {
      lock.exec("begin exclusive");
      return lock;
    } catch (error) {
      if (!(error instanceof Error) || !/locked/.test(error.message)) throw error;
    }
    if ((await readState(folder)) !== undefined) {
      lock.close();
      return undefined;
    }
    await sleep(100);
  }
}

async function publish(folder: string, state: ClusterState): Promise<void> {
  const fresh = `${stateFile(folder)}.new`;
  await writeFile(fresh, JSON.stringify(state), { mode: 0o600 });
  await rename(fresh, stateFile(folder));
}

async function isWhole(run: string): Promise<boolean> {
  const lines = (await readFile(join(run, "pids"), "utf8").catch(() => "")).trim().split("\n");
  return lines.every((line) => {
    const [, pid, since = ""] = line.split(" ");
    return isRunning({ pid: Number(pid), started: since });
  });
}

/** The garbage collector of a running cluster learns of a new kind only after a while, so ours are there from the start. */
async function manifests(): Promise<string> {
  const names = await readdir(crds).catch(() => []);
  const ours = names.filter((name) => name.endsWith(".yaml")).map((name) => join(crds, name));
  return [...ours, process.env.KUBE_APPLY ?? ""].join(" ").trim();
}

/** The first of a block that is free now; another may take it meanwhile, and then up.sh fails and is tried again. */
async function freePorts(): Promise<number> {
  for (let tries = 0; tries < 200; tries++) {
    const blocks = (lastPort - firstPort) / portBlock;
    const first = firstPort + Math.floor(Math.random() * blocks) * portBlock;
    const free = await Promise.all(Array.from({ length: portBlock }, (_, index) => isFree(first + index)));
    if (free.every(Boolean)) return first;
  }
  throw new Error(`no ${portBlock} consecutive ports are free between ${firstPort} and ${lastPort}`);
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once("error", () => resolve(false));
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)));
  });
}

async function down(run: string, env: NodeJS.ProcessEnv): Promise<void> {
  if (existsSync(join(run, "pids"))) await script("down.sh", [], env);
}

/** What it prints; its other words go into our log. */
function script(name: string, args: string[], env: NodeJS.ProcessEnv): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(join(kubeScripts, name), args, { env, stdio: ["ignore", "pipe", "inherit"] });
    let said = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      said += text;
    });
    child.once("error", reject);
    child.once("close", (code) =>
      code === 0 ? resolve(said.trim()) : reject(new Error(`${name} ended with ${code}`)),
    );
  });
}

const [folder, mode] = process.argv.slice(2);
if (folder === undefined || mode === undefined) throw new Error("usage: cluster-keeper.ts <folder> <mode>");
await main(folder, mode as ClusterMode);
process.exit(0);
