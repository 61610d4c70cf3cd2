/** The server is killed while tasks run: they go on, run once, and the next server takes their results. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { appendFile, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { ExecutionError_ErrorKind } from "@flyte-ts/contract/flyteidl2/core/execution_pb.ts";
import type { LeasedAction } from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";
import { keyOf, shellLease } from "../../executor/testing/leases.ts";
import { attemptFolder, writeLaunch } from "./attempt-folder.ts";
import { bootId, processesWith } from "./process-table.ts";
import { host } from "./testing/host.ts";

const hostMain = fileURLToPath(new URL("./testing/host-main.ts", import.meta.url));

async function dataFolder(t: TestContext): Promise<string> {
  const dataDir = await mkdtemp(join(tmpdir(), "flyte-ts-adoption-"));
  t.after(() => rm(dataDir, { recursive: true, force: true }));
  return dataDir;
}

/** Runs the scripts in a host of its own and kills it when all of them run. */
async function runAndKill(t: TestContext, dataDir: string, scripts: Record<string, string>): Promise<void> {
  const child: ChildProcess = spawn(process.execPath, [hostMain, dataDir, JSON.stringify(scripts)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  t.after(() => child.kill("SIGKILL"));
  const waiting = new Set(Object.keys(scripts).map((name) => keyOf(shellLease(name, ""))));
  if (!child.stdout) throw new Error("no output of the host");
  for await (const line of createInterface(child.stdout)) {
    waiting.delete(line.split(" ")[0] ?? "");
    if (waiting.size === 0) break;
  }
  assert.equal(waiting.size, 0, "the host ran all scripts");
  const dead = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await dead;
}

/** As the control plane sends it again: it was running. */
function again(name: string, script: string): LeasedAction {
  return shellLease(name, script, { startedAt: timestampFromMs(Date.now() - 1000) });
}

test("five tasks outlive a killed server, run once, and their results are read", async (t) => {
  const dataDir = await dataFolder(t);
  const go = join(dataDir, "go");
  const names = ["t0", "t1", "t2", "t3", "t4"];
  const scripts = Object.fromEntries(
    names.map((name, index) => [
      name,
      `echo run >> ${dataDir}/${name}.runs; echo before; while [ ! -e ${go} ]; do sleep 0.05; done; echo after; exit ${index}`,
    ]),
  );
  await runAndKill(t, dataDir, scripts);
  await using machine = await host(t, { dataDir });
  for (const name of names) machine.plane.lease(again(name, scripts[name] ?? ""));
  await writeFile(go, "");
  for (const [index, name] of names.entries()) {
    const told = await machine.released(`7/${name}/1`);
    assert.deepEqual(told.phases, [index === 0 ? "SUCCEEDED" : "FAILED"], name);
    if (index > 0) assert.equal(told.error?.code, `ExitCode${index}`);
    assert.equal(await readFile(join(dataDir, `${name}.runs`), "utf8"), "run\n");
    assert.equal(await machine.logText(`s3://flyte-data/p/development/r1/${name}/1`), "before\nafter\n");
  }
});

test("tasks that ended while no server was there are judged by what they left", async (t) => {
  const dataDir = await dataFolder(t);
  const go = join(dataDir, "go");
  const wait = `while [ ! -e ${go} ]; do sleep 0.05; done`;
  const scripts: Record<string, string> = {
    fine: `${wait}; exit 0`,
    bad: `${wait}; echo sorry; exit 3`,
    shot: `${wait}; kill -KILL $PPID; kill -KILL $$`,
  };
  await runAndKill(t, dataDir, scripts);
  const tokens = await Promise.all(
    Object.keys(scripts).map(async (name) => {
      const launch = await readFile(join(dataDir, `attempts/7/${name}/1/launch.json`), "utf8");
      return (JSON.parse(launch) as { token: string }).token;
    }),
  );
  await writeFile(go, "");
  for (const token of tokens) while ((await processesWith(token)).length > 0);
  await using machine = await host(t, { dataDir });
  for (const [name, script] of Object.entries(scripts)) machine.plane.lease(again(name, script));
  assert.deepEqual((await machine.released("7/fine/1")).phases, ["SUCCEEDED"]);
  const bad = await machine.released("7/bad/1");
  assert.equal(bad.error?.code, "ExitCode3");
  assert.match(bad.error?.message ?? "", /sorry/);
  const shot = await machine.released("7/shot/1");
  assert.equal(shot.error?.code, "ProcessLost");
  assert.equal(shot.error?.kind, ExecutionError_ErrorKind.SYSTEM);
});

test("an adopted task can be aborted", async (t) => {
  const dataDir = await dataFolder(t);
  await runAndKill(t, dataDir, { long: "sleep 300 & wait" });
  const launch = await readFile(join(dataDir, "attempts/7/long/1/launch.json"), "utf8");
  const { token } = JSON.parse(launch) as { token: string };
  await using machine = await host(t, { dataDir });
  const lease = again("long", "");
  machine.plane.lease(lease);
  machine.plane.abort(lease);
  assert.deepEqual((await machine.released("7/long/1")).phases, ["ABORTED"]);
  assert.deepEqual(await processesWith(token), []);
});

test("tasks whose leases went elsewhere are ended, and nothing of them stays", async (t) => {
  const dataDir = await dataFolder(t);
  await runAndKill(t, dataDir, { orphan: "echo hello; sleep 300" });
  const folder = attemptFolder(join(dataDir, "attempts"), "7/orphan/1");
  const { token } = JSON.parse(await readFile(folder.launch, "utf8")) as { token: string };
  await using machine = await host(t, { dataDir });
  await machine.eventually(() => !existsSync(folder.path));
  assert.deepEqual(await processesWith(token), []);
  assert.equal(await machine.logText("s3://flyte-data/p/development/r1/orphan/1"), "hello\n");
});

test("a launch that never came to run is made anew; one that ran and vanished is not", async (t) => {
  const dataDir = await dataFolder(t);
  const root = join(dataDir, "attempts");
  const launch = async (key: string) => ({
    key,
    token: `token-${key}`,
    startedAtMs: Date.now(),
    bootId: await bootId(),
    oomKills: 0,
    attemptUri: `s3://flyte-data/p/development/r1/${key.split("/")[1]}/1`,
  });
  const [never, vanished, rebooted] = ["7/never/1", "7/vanished/1", "7/rebooted/1"].map((key) =>
    attemptFolder(root, key),
  );
  assert.ok(never && vanished && rebooted);
  await writeLaunch(never, await launch("7/never/1"));
  await writeLaunch(vanished, await launch("7/vanished/1"));
  await writeFile(vanished.pid, "999999 999999 (sh) S 1 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 123 0\n");
  // This very process has that pid, but not that start time, and the boot is another one.
  await writeLaunch(rebooted, { ...(await launch("7/rebooted/1")), bootId: "another" });
  await writeFile(rebooted.pid, `${process.pid} ${(await readFile(`/proc/${process.pid}/stat`, "utf8")).trim()}\n`);
  await using machine = await host(t, { dataDir });
  for (const name of ["never", "vanished", "rebooted"]) machine.plane.lease(shellLease(name, "echo ran"));
  assert.deepEqual((await machine.released("7/never/1")).phases, ["RUNNING", "SUCCEEDED"]);
  for (const name of ["vanished", "rebooted"]) {
    const told = await machine.released(`7/${name}/1`);
    assert.deepEqual(told.phases, ["RUNNING", "FAILED"]);
    assert.equal(told.error?.code, "ProcessLost");
  }
});

test("an attempt that ran before and left no trace is lost, not run again", async (t) => {
  const dataDir = await dataFolder(t);
  await mkdir(dataDir, { recursive: true });
  await appendFile(join(dataDir, "unrelated"), "");
  await using machine = await host(t, { dataDir });
  machine.plane.lease(again("gone", `touch ${dataDir}/ran`));
  const told = await machine.released("7/gone/1");
  assert.equal(told.error?.code, "ProcessLost");
  assert.equal(existsSync(join(dataDir, "ran")), false);
});
