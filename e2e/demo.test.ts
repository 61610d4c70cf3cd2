/** The demo as its user sees it. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { waitFor } from "./support/wait.ts";

const program = fileURLToPath(new URL("demo/main.ts", import.meta.url));

function demo(...args: string[]) {
  const child = spawn(process.execPath, [program, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  const said = { stdout: "", stderr: "" };
  child.stdout.on("data", (chunk: Buffer) => (said.stdout += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (said.stderr += chunk.toString()));
  const closed = once(child, "close");
  return { child, said, closed };
}

test("runs the workflow, shows the tree and the result, and keeps the server when asked", async (t) => {
  const { child, said, closed } = demo("--keep");
  t.after(() => void child.kill("SIGTERM"));
  await waitFor(() => said.stdout.includes("Stop it with") || child.exitCode !== null, { what: "the end of the demo" });
  assert.equal(said.stderr, "");
  assert.match(said.stdout, /main +succeeded +\d+\.\d\d s/);
  assert.match(said.stdout, /order ×10 +succeeded .*side by side/);
  assert.match(said.stdout, /price_list +succeeded .*answered by the cache/);
  assert.match(said.stdout, /bill +succeeded .*2 attempts/);
  assert.match(said.stdout, /Result: 10 orders, 855 in total/);
  const url = /server {2,}(\S+)/.exec(said.stdout)?.[1] ?? "";
  const data = /data {2,}(\S+)/.exec(said.stdout)?.[1] ?? "";
  assert.equal((await fetch(`${url}/readyz`)).status, 200);
  assert.ok(existsSync(data));

  child.kill("SIGTERM");
  await closed;
  assert.equal(child.exitCode, 0);
  await assert.rejects(fetch(`${url}/readyz`));
  assert.ok(!existsSync(data), "the demo's folder is gone");
});

test("tells in one line why it could not start, and fails", async (t) => {
  const holder = createServer().listen(0, "127.0.0.1");
  await once(holder, "listening");
  t.after(() => holder.close());
  const { port } = holder.address() as AddressInfo;
  const { child, said, closed } = demo("--port", String(port));
  await closed;
  assert.equal(child.exitCode, 1);
  assert.match(said.stderr, new RegExp(`^\\ndemo: .*port ${port}.* is taken; .*\\n$`));
});

test("refuses an option it does not know", async () => {
  const { child, said, closed } = demo("--kep");
  await closed;
  assert.equal(child.exitCode, 2);
  assert.match(said.stderr, /--kep.*\nusage: /s);
});

test("stopped in the middle, it leaves nothing behind", async () => {
  const { child, said, closed } = demo();
  await waitFor(() => said.stdout.includes("flyte run workflow.py") || child.exitCode !== null, { what: "the run" });
  child.kill("SIGINT");
  await closed;
  assert.equal(child.exitCode, 1);
  assert.match(said.stderr, /demo: stopped/);
  const url = /ready at (\S+)/.exec(said.stdout)?.[1] ?? "";
  await assert.rejects(fetch(`${url}/healthz`), "the server has ended");
});
