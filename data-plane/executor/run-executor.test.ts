/** The executor against a scripted control plane, with plugins that do as a test tells them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { executor, memoryActionStore, type Plugin, type Step } from "./index.ts";
import { silentLog } from "./log.ts";
import { pluginTable } from "./plugin.ts";
import { keyOf, leaseOf } from "./testing/leases.ts";
import { scriptedControlPlane } from "./testing/scripted-control-plane.ts";

/** Attempts run until the test lets them end. */
function manualPlugin() {
  const ended = new Map<string, Step>();
  const wakers = new Map<string, () => void>();
  const log: string[] = [];
  const plugin: Plugin = {
    taskTypes: ["manual"],
    reconcile(context) {
      wakers.set(context.key, context.wake);
      const end = ended.get(context.key);
      if (end) return end;
      if (context.startedAt) return {};
      log.push(`start ${context.key}`);
      return { transitions: [{ phase: "running", at: context.now }] };
    },
    abort(context, ending) {
      log.push(`${ending.phase} ${context.key}`);
      return { released: true };
    },
    finalize: (context) => void log.push(`finalize ${context.key}`),
  };
  return {
    plugin,
    log,
    end(key: string) {
      ended.set(key, { transitions: [{ phase: "succeeded", at: new Date(), outputUri: "s3://b/o" }], released: true });
      wakers.get(key)?.();
    },
  };
}

function start(plugins: Plugin[]) {
  const plane = scriptedControlPlane();
  const store = memoryActionStore();
  const stop = new AbortController();
  const options = {
    cluster: "embedded",
    link: plane.link,
    store,
    plugins,
    log: silentLog,
    slots: 2,
    labels: { zone: "a" },
  };
  const done = executor({ ...options, backoff: { firstMs: 1, maxMs: 5 } }).run(stop.signal);
  return {
    plane,
    store,
    async empty() {
      while ((await store.list()).length > 0) await new Promise((resolve) => setImmediate(resolve));
    },
    async [Symbol.asyncDispose]() {
      stop.abort();
      await done;
    },
  };
}

const manual = (name: string, parts = {}) => leaseOf({ name, taskType: "manual", ...parts });

test("a lease runs to its end, is reported, finalized and forgotten", async () => {
  const hand = manualPlugin();
  await using run = start([hand.plugin]);
  const lease = manual("a");
  run.plane.lease(lease);
  await run.plane.until(() => run.plane.told(keyOf(lease)).phases.includes("RUNNING"));
  hand.end(keyOf(lease));
  await run.plane.until(() => run.plane.told(keyOf(lease)).released);
  await run.empty();
  assert.deepEqual(run.plane.told(keyOf(lease)).phases, ["RUNNING", "SUCCEEDED"]);
  assert.equal(run.plane.told(keyOf(lease)).outputUri, "s3://b/o");
  assert.deepEqual(hand.log, ["start 7/a/1", "finalize 7/a/1"]);
  const [request] = run.plane.requests;
  assert.deepEqual([request?.slots, request?.labels, request?.taskTypes], [2, { zone: "a" }, ["manual"]]);
});

test("a lease that comes again after its end is answered, not run", async () => {
  const hand = manualPlugin();
  await using run = start([hand.plugin]);
  const lease = manual("a");
  run.plane.lease(lease);
  await run.plane.until(() => run.plane.told(keyOf(lease)).phases.includes("RUNNING"));
  hand.end(keyOf(lease));
  await run.empty();
  run.plane.lease(lease);
  await run.plane.until(() => run.plane.told(keyOf(lease)).reports.length === 3);
  assert.equal(hand.log.filter((line) => line.startsWith("start")).length, 1);
});

test("after a lost connection work goes on, and what is not leased any more is ended without a word", async () => {
  const hand = manualPlugin();
  await using run = start([hand.plugin]);
  const [kept, lost] = [manual("kept"), manual("lost")];
  for (const lease of [kept, lost]) run.plane.lease(lease);
  await run.plane.until(() => [kept, lost].every((lease) => run.plane.told(keyOf(lease)).phases.includes("RUNNING")));
  run.plane.withdraw(keyOf(lost));
  run.plane.hangUp();
  while (!hand.log.includes("finalize 7/lost/1")) await new Promise((resolve) => setImmediate(resolve));
  assert.ok(hand.log.includes("dropped 7/lost/1"));
  assert.deepEqual(run.plane.told(keyOf(lost)).phases, ["RUNNING"]);
  hand.end(keyOf(kept));
  await run.plane.until(() => run.plane.told(keyOf(kept)).released);
  assert.equal(hand.log.filter((line) => line === "start 7/kept/1").length, 1);
});

test("a stale verdict ends the attempt and forgets it", async () => {
  const hand = manualPlugin();
  await using run = start([hand.plugin]);
  const lease = manual("a");
  run.plane.stale.add(keyOf(lease));
  run.plane.lease(lease);
  while (!hand.log.includes("finalize 7/a/1")) await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(hand.log, ["start 7/a/1", "dropped 7/a/1", "finalize 7/a/1"]);
  assert.deepEqual(await run.store.list(), []);
});

test("reports wait while the control plane is away and arrive afterwards, in order", async () => {
  const hand = manualPlugin();
  await using run = start([hand.plugin]);
  run.plane.reportsFail = true;
  const leases = Array.from({ length: 10 }, (_, index) => manual(`a${index}`));
  for (const lease of leases) run.plane.lease(lease);
  while (run.plane.reportCalls < 5) await new Promise((resolve) => setImmediate(resolve));
  for (const lease of leases) hand.end(keyOf(lease));
  run.plane.reportsFail = false;
  await run.plane.until(() => leases.every((lease) => run.plane.told(keyOf(lease)).released));
  for (const lease of leases) assert.deepEqual(run.plane.told(keyOf(lease)).phases, ["RUNNING", "SUCCEEDED"]);
});

test("a plugin that keeps throwing fails its attempt with the reason, and no other", async () => {
  const hand = manualPlugin();
  const broken: Plugin = {
    taskTypes: ["broken"],
    reconcile() {
      throw new Error("no space left on device");
    },
    abort: () => ({ released: true }),
  };
  await using run = start([hand.plugin, broken]);
  const bad = leaseOf({ name: "bad", taskType: "broken" });
  const good = manual("good");
  run.plane.lease(bad);
  run.plane.lease(good);
  await run.plane.until(() => run.plane.told(keyOf(bad)).released);
  const told = run.plane.told(keyOf(bad));
  assert.deepEqual(told.phases, ["FAILED"]);
  assert.equal(told.error?.code, "ExecutorError");
  assert.match(told.error?.message ?? "", /no space left on device/);
  hand.end(keyOf(good));
  await run.plane.until(() => run.plane.told(keyOf(good)).released);
});

test("a type without plugin fails at once; two plugins for one type are refused", async () => {
  const hand = manualPlugin();
  await using run = start([hand.plugin]);
  const lease = leaseOf({ name: "a", taskType: "spark" });
  run.plane.lease(lease);
  await run.plane.until(() => run.plane.told(keyOf(lease)).released);
  assert.equal(run.plane.told(keyOf(lease)).error?.code, "PluginNotFound");
  assert.throws(() => pluginTable([hand.plugin, hand.plugin]), /two plugins claim/);
});

test("a durable store's attempts are reported again and continued by the next executor", async () => {
  const hand = manualPlugin();
  const lease = manual("a");
  const plane = scriptedControlPlane();
  const store = memoryActionStore();
  plane.lease(lease);
  for (const end of [false, true]) {
    const stop = new AbortController();
    const done = executor({
      cluster: "c",
      link: plane.link,
      store,
      plugins: [hand.plugin],
      log: silentLog,
      slots: 1,
    }).run(stop.signal);
    await plane.until(() => plane.told(keyOf(lease)).phases.includes("RUNNING"));
    if (end) {
      hand.end(keyOf(lease));
      await plane.until(() => plane.told(keyOf(lease)).released);
    }
    stop.abort();
    await done;
  }
  assert.equal(hand.log.filter((line) => line === "start 7/a/1").length, 1);
});
