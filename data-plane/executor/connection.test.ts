/** The executor's connection: heartbeats, and dialling again whenever the control plane is lost. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { executor, memoryActionStore } from "./index.ts";
import { silentLog } from "./log.ts";
import { scriptedControlPlane } from "./testing/scripted-control-plane.ts";

function start() {
  const plane = scriptedControlPlane();
  const stop = new AbortController();
  const done = executor({
    cluster: "gpu",
    name: "gpu-1",
    clusterUid: "uid-1",
    kind: "kubernetes",
    version: "1.2.3",
    queues: ["fast"],
    capacity: { cpu: 8, accelerators: ["T4"] },
    link: plane.link,
    store: memoryActionStore(),
    plugins: [],
    log: silentLog,
    slots: 2,
    backoff: { firstMs: 1, maxMs: 5 },
  }).run(stop.signal);
  return {
    plane,
    async [Symbol.asyncDispose]() {
      stop.abort();
      await done;
    },
  };
}

test("an executor registers with all it has", async () => {
  await using run = start();
  await run.plane.until(() => run.plane.requests.length > 0);
  const [request] = run.plane.requests;
  assert.equal(request?.clusterUid, "uid-1");
  assert.deepEqual(request?.queues, ["fast"]);
  assert.equal(request?.kind, "kubernetes");
  assert.equal(request?.version, "1.2.3");
  assert.equal(request?.capacity?.cpu, 8);
  assert.deepEqual(request?.capacity?.accelerators, ["T4"]);
});

test("a connection is kept by heartbeats of its session", async () => {
  await using run = start();
  await run.plane.until(() => run.plane.heartbeats.length >= 2);
  const [first, second] = run.plane.heartbeats;
  assert.equal(first?.cluster, "gpu");
  assert.equal(first?.executor, "gpu-1");
  assert.equal(first?.session, 1n);
  assert.equal(second?.session, 1n);
  assert.equal(run.plane.requests.length, 1);
});

test("a session that is not current any more is dialled anew", async () => {
  await using run = start();
  await run.plane.until(() => run.plane.heartbeats.length > 0);
  run.plane.firstCurrentSession = 2n;
  await run.plane.until(() => run.plane.heartbeats.at(-1)?.session === 2n);
  assert.equal(run.plane.requests.length, 2);
});

test("a control plane that answers no heartbeat is dialled anew, until it does", async () => {
  await using run = start();
  await run.plane.until(() => run.plane.heartbeats.length > 0);
  run.plane.heartbeatsFail = true;
  await run.plane.until(() => run.plane.requests.length >= 3);
  run.plane.heartbeatsFail = false;
  const dialled = run.plane.requests.length;
  await run.plane.until(() => Number(run.plane.heartbeats.at(-1)?.session) >= dialled);
});
