/** Full disks under objects and under logs: the action says so, the server lives, and goes on when there is room. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { chmod, mkdir, mkdtemp, rm, statfs, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { promisify } from "node:util";
import { pythonClient } from "../support/python.ts";
import { ended, errorOf, outputsOf, phaseOf } from "../support/runs.ts";
import { startServer } from "../support/server.ts";
import { waitFor } from "../support/wait.ts";
import { connectWire } from "../support/wire.ts";

const skip =
  process.platform === "linux" && process.getuid?.() === 0 ? false : "only root on Linux can mount a small disk";
const run = promisify(execFile);

/** A server whose folder `name` in the data directory is a disk of that size. */
async function smallDisk(t: TestContext, name: string, megabytes: number) {
  const dataDir = await mkdtemp(join(tmpdir(), "flyte-ts-disk-"));
  await chmod(dataDir, 0o711);
  const server = await startServer(t, { dataDir, start: false });
  const disk = join(dataDir, name);
  await mkdir(disk);
  await run("mount", ["-t", "tmpfs", "-o", `size=${megabytes}m`, "flyte-ts-test", disk]);
  t.after(async () => {
    await run("umount", ["-l", disk]);
    await rm(dataDir, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  });
  await server.start();
  const python = await pythonClient(t, () => server.url);
  return { server, python, disk, wire: connectWire(server.url), ready: () => fetch(`${server.url}/readyz`) };
}

test("no room for objects", { skip }, async (t) => {
  const { python, disk, wire, server, ready } = await smallDisk(t, "objects", 16);
  const release = join(server.dataDir, "release");
  const [name = ""] = await python.submit("data", { task: "keep", inputs: { release, megabytes: 1 } });
  await waitFor(async () => (await phaseOf(wire, name)) === "RUNNING", { what: "the running task" });

  const { bavail, bsize } = await statfs(disk);
  const filler = join(disk, "filler");
  await writeFile(filler, Buffer.alloc(bavail * bsize));
  assert.equal((await ready()).status, 503);
  await writeFile(release, "");
  assert.equal(await ended(wire, name), "FAILED");
  const error = await errorOf(wire, name);
  t.diagnostic(JSON.stringify(error));
  assert.match(error?.message ?? "", /disk is full|no space left/i);

  await rm(filler);
  await waitFor(async () => (await ready()).status === 200, { what: "a ready server" });
  const [again = ""] = await python.submit("data", { task: "keep", inputs: { release, megabytes: 1 } });
  assert.equal((await outputsOf(wire, again)).length, 1);
});

test("no room for logs", { skip }, async (t) => {
  const { python, wire, ready } = await smallDisk(t, "work", 8);
  const [name = ""] = await python.submit("data", { task: "chatter", inputs: { megabytes: 20 } });
  assert.equal(await ended(wire, name), "FAILED");
  const error = await errorOf(wire, name);
  t.diagnostic(JSON.stringify(error));
  assert.match(error?.message ?? "", /disk is full|no space left/i);
  assert.equal((await ready()).status, 200);

  const [again = ""] = await python.submit("data", { task: "chatter", inputs: { megabytes: 1 } });
  assert.deepEqual(await outputsOf(wire, again), [1]);
});
