/** The executor's connection: heartbeats, and dialling again whenever the control plane is lost. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { executor, inTurns, memoryActionStore, SupersededError } from "./index.ts";
import { type Log, silentLog } from "./log.ts";
import { type ScriptedControlPlane, scriptedControlPlane } from "./testing/scripted-control-plane.ts";

function start({ turns = false, log = silentLog }: { turns?: boolean; log?: Log } = {}) {
  const plane = scriptedControlPlane();
  const stop = new AbortController();
  const turn = (signal: AbortSignal) => executorOf(plane, log).run(signal);
  const done = (turns ? inTurns({ link: plane.link, log }, turn) : turn)(stop.signal);
  return {
    plane,
    done,
    async [Symbol.asyncDispose]() {
      stop.abort();
      await done.catch(() => undefined);
    },
  };
}

function executorOf(plane: ScriptedControlPlane, log: Log) {
  return executor({
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
    log,
    slots: 2,
    backoff: { firstMs: 1, maxMs: 5 },
  });
}

/** What was logged, one line a message. */
function linesOf() {
  const lines: string[] = [];
  const write = (level: string) => (fields: object, message: string) =>
    void lines.push(
      `${level} ${message} ${JSON.stringify(fields, (_key, value) => (typeof value === "bigint" ? String(value) : value))}`,
    );
  const log: Log = { debug: write("debug"), info: write("info"), warn: write("warn"), error: write("error") };
  return { lines, log };
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

test("superseded, an executor does not dial again and says by whom", async () => {
  await using run = start();
  await run.plane.until(() => run.plane.heartbeats.length > 0);
  Object.assign(run.plane, { firstCurrentSession: 2n, holder: "gpu-2" });
  run.plane.hangUp();
  await assert.rejects(run.done, (error) => {
    assert.ok(error instanceof SupersededError);
    assert.equal(error.message, "another executor took over cluster gpu: gpu-2");
    return true;
  });
  assert.equal(run.plane.requests.length, 1);
});

test("superseded, it stands by with one line, and takes its turn when the other is gone", async () => {
  const { lines, log } = linesOf();
  await using run = start({ turns: true, log });
  await run.plane.until(() => run.plane.heartbeats.length > 0);
  Object.assign(run.plane, { firstCurrentSession: 2n, holder: "gpu-2" });
  const before = run.plane.heartbeats.length;
  await run.plane.until(() => run.plane.heartbeats.length >= before + 4);
  assert.equal(run.plane.requests.length, 1);
  const told = lines.filter((line) => line.startsWith("error"));
  assert.equal(told.length, 1, told.join("\n"));
  assert.match(told[0] ?? "", /another executor took over this cluster, so this one stands by .*"holder":"gpu-2"/);
  run.plane.holder = "";
  await run.plane.until(() => run.plane.heartbeats.at(-1)?.session === 2n);
  assert.equal(run.plane.requests.length, 2);
});

test("refused, it says why and asks again until it is taken", async () => {
  const { lines, log } = linesOf();
  const plane = scriptedControlPlane();
  plane.refusal = "the name gpu belongs to another one";
  const stop = new AbortController();
  const done = executorOf(plane, log).run(stop.signal);
  await plane.until(() => plane.requests.length >= 3);
  plane.refusal = "";
  await plane.until(() => plane.heartbeats.length > 0);
  stop.abort();
  await done;
  const told = lines.filter((line) => line.startsWith("error"));
  assert.match(
    told[0] ?? "",
    /the control plane refuses this executor.*"reason":"the name gpu belongs to another one"/,
  );
});
