/** A store that is away, refuses, or cannot keep something: no attempt fails for its trouble, and none holds up others. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { sleepPlugin } from "../plugins/sleep/index.ts";
import { type ActionStore, executor, memoryActionStore, type Plugin, UnstorableError } from "./index.ts";
import { silentLog } from "./log.ts";
import { keyOf, leaseOf, sleepLease } from "./testing/leases.ts";
import { scriptedControlPlane } from "./testing/scripted-control-plane.ts";

type Call = "create" | "update" | "delete";

/** `trouble` says what a call throws; undefined lets it through. */
function start(trouble: (call: Call, key: string) => Error | undefined, plugins: Plugin[] = []) {
  const plane = scriptedControlPlane();
  const memory = memoryActionStore();
  const calls: string[] = [];
  const through = <T>(call: Call, key: string, go: () => Promise<T>): Promise<T> => {
    calls.push(`${call} ${key}`);
    const error = trouble(call, key);
    return error ? Promise.reject(error) : go();
  };
  const store: ActionStore = {
    ...memory,
    create: (record) => through("create", record.key, () => memory.create(record)),
    update: (record) => through("update", record.key, () => memory.update(record)),
    delete: (key) => through("delete", key, () => memory.delete(key)),
  };
  const stop = new AbortController();
  const done = executor({
    cluster: "c",
    link: plane.link,
    store,
    plugins: [
      sleepPlugin({
        objectStore: { get: async (uri) => Promise.reject(new Error(`${uri} is not there`)) },
      }),
      ...plugins,
    ],
    log: silentLog,
    slots: 1,
    backoff: { firstMs: 1, maxMs: 5 },
  }).run(stop.signal);
  return {
    plane,
    store,
    count: (call: string) => calls.filter((one) => one === call).length,
    async until(condition: () => boolean) {
      while (!condition()) await new Promise((resolve) => setTimeout(resolve, 1));
    },
    async [Symbol.asyncDispose]() {
      stop.abort();
      await done;
    },
  };
}

for (const call of ["create", "update", "delete"] as const) {
  test(`trouble at ${call} is repeated until it is over, and fails nothing`, async () => {
    let left = 7;
    await using run = start((now) => (now === call && left-- > 0 ? new Error("the store is away") : undefined));
    const lease = sleepLease("a", 5);
    run.plane.lease(lease);
    await run.plane.until(() => run.plane.told(keyOf(lease)).released);
    assert.deepEqual(run.plane.told(keyOf(lease)).phases, ["RUNNING", "SUCCEEDED"]);
    while ((await run.store.list()).length > 0) await new Promise((resolve) => setTimeout(resolve, 1));
    assert.ok(left < 0);
  });
}

test("a lease that cannot be stored yet holds up no other, and can be aborted", async () => {
  const stuck = sleepLease("stuck", 1);
  await using run = start((call, key) =>
    call === "create" && key === keyOf(stuck) ? new Error("the namespace is being deleted") : undefined,
  );
  const good = sleepLease("good", 1);
  run.plane.lease(stuck);
  run.plane.lease(good);
  await run.plane.until(() => run.plane.told(keyOf(good)).released);
  await run.until(() => run.count(`create ${keyOf(stuck)}`) > 1);
  run.plane.abort(stuck);
  await run.plane.until(() => run.plane.told(keyOf(stuck)).released);
  assert.deepEqual(run.plane.told(keyOf(stuck)).phases, []);
  assert.deepEqual(await run.store.list(), []);
});

test("what can never be stored fails with the store's reason", async () => {
  const error = { code: "TaskActionTooLarge", message: "too large", kind: "user", recoverable: false } as const;
  await using run = start((call, key) =>
    call === "create" && key.includes("large") ? new UnstorableError(error) : undefined,
  );
  const lease = sleepLease("large", 1);
  run.plane.lease(lease);
  await run.plane.until(() => run.plane.told(keyOf(lease)).released);
  const told = run.plane.told(keyOf(lease));
  assert.deepEqual(
    [told.phases, told.error?.code, told.error?.message],
    [["FAILED"], "TaskActionTooLarge", "too large"],
  );
  run.plane.lease(lease);
  await run.plane.until(() => told.reports.length === 2);
  assert.equal(run.count(`create ${keyOf(lease)}`), 1);
});

test("notes that can never be stored count as the plugin's trouble", async () => {
  const error = { code: "TaskActionTooLarge", message: "too many notes", kind: "system", recoverable: false } as const;
  const chatty: Plugin = {
    taskTypes: ["chatty"],
    reconcile: () => ({ state: { notes: "…" } }),
    abort: () => ({ released: true }),
  };
  let updates = 0;
  await using run = start(
    (call) => (call === "update" && ++updates <= 5 ? new UnstorableError(error) : undefined),
    [chatty],
  );
  const lease = leaseOf({ name: "a", taskType: "chatty" });
  run.plane.lease(lease);
  await run.plane.until(() => run.plane.told(keyOf(lease)).released);
  const told = run.plane.told(keyOf(lease));
  assert.deepEqual([told.phases, told.error?.code], [["FAILED"], "ExecutorError"]);
  assert.match(told.error?.message ?? "", /too many notes/);
});

test("a task that nobody can read fails, whatever its plugin looks at", async () => {
  await using run = start(
    () => undefined,
    [{ taskTypes: ["blind"], reconcile: () => ({}), abort: () => ({ released: true }) }],
  );
  const lease = leaseOf({ name: "a", taskType: "blind" });
  lease.taskSpec = new Uint8Array([0xff, 0xff, 0xff]);
  run.plane.lease(lease);
  await run.plane.until(() => run.plane.told(keyOf(lease)).released);
  assert.equal(run.plane.told(keyOf(lease)).error?.code, "ExecutorError");
});
