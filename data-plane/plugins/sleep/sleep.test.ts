/** Sleeps through the executor: inline and SDK form, many at once, across restarts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { InputsSchema } from "@flyte-ts/contract/flyteidl2/task/common_pb.ts";
import { ObjectNotFoundError } from "@flyte-ts/platform/object-store";
import { executor, memoryActionStore } from "../../executor/index.ts";
import { silentLog } from "../../executor/log.ts";
import { keyOf, leaseOf, sleepLease } from "../../executor/testing/leases.ts";
import { scriptedControlPlane } from "../../executor/testing/scripted-control-plane.ts";
import { sleepPlugin } from "./index.ts";

function start(objects: Record<string, Uint8Array> = {}) {
  const plane = scriptedControlPlane();
  const objectStore = {
    async get(uri: string) {
      const bytes = objects[uri];
      if (!bytes) throw new ObjectNotFoundError(uri);
      return bytes;
    },
  };
  const stop = new AbortController();
  const store = memoryActionStore();
  const done = executor({
    cluster: "embedded",
    link: plane.link,
    store,
    plugins: [sleepPlugin({ objectStore })],
    log: silentLog,
    slots: 4,
  }).run(stop.signal);
  return {
    plane,
    store,
    async [Symbol.asyncDispose]() {
      stop.abort();
      await done;
    },
  };
}

test("a sleep of no length is running, succeeded and released in one report", async () => {
  await using run = start();
  const lease = sleepLease("a1", 0);
  run.plane.lease(lease);
  await run.plane.until(() => run.plane.told(keyOf(lease)).released);
  const told = run.plane.told(keyOf(lease));
  assert.deepEqual(told.phases, ["RUNNING", "SUCCEEDED"]);
  assert.equal(told.reports.length, 1);
  assert.equal(told.outputUri, "");
});

test("2,000 sleeps end, each once", async () => {
  await using run = start();
  const leases = Array.from({ length: 2000 }, (_, index) => sleepLease(`s${index}`, 20 + (index % 50)));
  for (const lease of leases) run.plane.lease(lease);
  await run.plane.until(() => leases.every((lease) => run.plane.told(keyOf(lease)).released));
  for (const lease of leases) assert.deepEqual(run.plane.told(keyOf(lease)).phases, ["RUNNING", "SUCCEEDED"]);
  await run.plane.until(() => true);
  assert.ok(run.plane.reportCalls < 2000, "reports are batched");
});

test("the SDK's form: a duration input", async () => {
  const inputs = create(InputsSchema, {
    literals: [
      {
        name: "duration",
        value: {
          value: {
            case: "scalar",
            value: {
              value: { case: "primitive", value: { value: { case: "duration", value: { nanos: 5_000_000 } } } },
            },
          },
        },
      },
    ],
  });
  await using run = start({ "s3://flyte-data/in/inputs.pb": toBinary(InputsSchema, inputs) });
  const lease = leaseOf({
    name: "d",
    taskType: "core-sleep",
    inputUri: "s3://flyte-data/in",
    template: { type: "core-sleep" },
  });
  run.plane.lease(lease);
  await run.plane.until(() => run.plane.told(keyOf(lease)).released);
  assert.deepEqual(run.plane.told(keyOf(lease)).phases, ["RUNNING", "SUCCEEDED"]);
});

test("a sleep without a duration, or with outputs, fails as the user's and says why", async () => {
  await using run = start();
  const none = leaseOf({ name: "n", taskType: "core-sleep", template: { type: "core-sleep" } });
  const outputs = sleepLease("o", 0, {
    template: {
      type: "core-sleep",
      custom: { duration_ms: 0 },
      interface: { outputs: { variables: [{ key: "o0", value: {} }] } },
    },
  });
  const negative = sleepLease("m", -1);
  for (const lease of [none, outputs, negative]) run.plane.lease(lease);
  for (const [lease, text] of [
    [none, /neither/],
    [outputs, /outputs/],
    [negative, /negative/],
  ] as const) {
    await run.plane.until(() => run.plane.told(keyOf(lease)).released);
    const told = run.plane.told(keyOf(lease));
    assert.deepEqual(told.phases, ["FAILED"]);
    assert.match(told.error?.message ?? "", text);
    assert.equal(told.error?.code, "BadTaskSpecification");
  }
});

test("after a restart a sleep goes on with the time that is left", async () => {
  await using run = start();
  const hour = 3_600_000;
  const almost = sleepLease("late", hour, { startedAt: timestampFromMs(Date.now() - hour + 30) });
  const long = sleepLease("long", hour, { startedAt: timestampFromMs(Date.now() - 1000) });
  run.plane.lease(almost);
  run.plane.lease(long);
  await run.plane.until(() => run.plane.told(keyOf(almost)).released);
  assert.deepEqual(run.plane.told(keyOf(almost)).phases, ["SUCCEEDED"]);
  assert.equal(run.plane.told(keyOf(long)).released, false);
});

test("max_runtime ends a sleep as timed out", async () => {
  await using run = start();
  const lease = sleepLease("t", 3_600_000, {
    template: { type: "core-sleep", custom: { duration_ms: 3_600_000 }, metadata: { timeout: { nanos: 20_000_000 } } },
  });
  run.plane.lease(lease);
  await run.plane.until(() => run.plane.told(keyOf(lease)).released);
  assert.deepEqual(run.plane.told(keyOf(lease)).phases, ["RUNNING", "TIMED_OUT"]);
  assert.equal(run.plane.told(keyOf(lease)).error?.code, "MAX_RUNTIME_EXCEEDED");
});

test("an abort ends a sleep", async () => {
  await using run = start();
  const lease = sleepLease("x", 3_600_000);
  run.plane.lease(lease);
  await run.plane.until(() => run.plane.told(keyOf(lease)).phases.includes("RUNNING"));
  run.plane.abort(lease);
  run.plane.abort(lease);
  await run.plane.until(() => run.plane.told(keyOf(lease)).released);
  assert.deepEqual(run.plane.told(keyOf(lease)).phases, ["RUNNING", "ABORTED"]);
  while ((await run.store.list()).length > 0) await new Promise((resolve) => setImmediate(resolve));
});
