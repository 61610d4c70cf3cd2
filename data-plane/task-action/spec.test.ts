/** Leases and what became of them survive their object, whole. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { create, fromBinary, protoInt64, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { LogContextSchema, TaskLogSchema } from "@flyte-ts/contract/flyteidl2/core/execution_pb.ts";
import { ClusterEventSchema } from "@flyte-ts/contract/flyteidl2/workflow/run_definition_pb.ts";
import {
  type LeasedAction,
  LeasedActionSchema,
  ResourceUsageSchema,
} from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";
import { UnstorableError } from "../executor/index.ts";
import { leaseOf } from "../executor/testing/leases.ts";
import { MalformedError } from "./malformed.ts";
import { keyOfSpec, leaseOfSpec, specOf } from "./spec.ts";
import { type AttemptState, initialState, stateOf, statusOf } from "./status.ts";
import type { TaskAction } from "./task-action.ts";

/** As JSON, which is what a cluster keeps. */
function throughJson<T>(value: T): T {
  return JSON.parse(JSON.stringify(value)) as T;
}

const full = leaseOf({
  name: "a1",
  epoch: 9n,
  attempt: 3,
  parent: "a0",
  taskType: "python-task",
  inputUri: "s3://b/in",
  envs: { A: "1", EMPTY: "" },
  labels: { team: "x" },
  annotations: { note: "y" },
  runStartTime: { seconds: 1n, nanos: 123_456_789 },
  rawDataPrefix: "s3://b/raw",
  group: "g",
  enqueuedAt: timestampFromMs(1_700_000_000_001),
  startedAt: timestampFromMs(1_700_000_000_002),
  interruptible: false,
  serviceAccount: "sa",
  shortName: "hello",
  cacheKey: "key",
});

test("a lease comes back with every field that the contract has", () => {
  for (const field of LeasedActionSchema.fields) {
    const value = full[field.localName as keyof LeasedAction];
    assert.ok(value !== undefined && value !== "" && value !== 0, `the lease of this test needs ${field.name}`);
  }
  const spec = throughJson(specOf(full, "east"));
  assert.deepEqual(leaseOfSpec(spec), full);
  assert.equal(keyOfSpec(spec), "7/a1/3");
  assert.equal("leaseRest" in spec, false);
});

test("an empty lease comes back empty", () => {
  const lease = leaseOf({});
  const read = leaseOfSpec(throughJson(specOf(lease, "east")));
  assert.deepEqual(read, lease);
  assert.equal(read.interruptible, undefined);
});

test("what a newer contract says, and what is too long for its field, comes back", () => {
  const newer = new Uint8Array([...toBinary(LeasedActionSchema, full), 0xfa, 0x3e, 2, 104, 105]);
  const lease = fromBinary(LeasedActionSchema, newer);
  Object.assign(lease, { cacheKey: "k".repeat(300), group: "g".repeat(300), shortName: "s".repeat(100) });
  const spec = throughJson(specOf(lease, "east"));
  assert.ok(spec.leaseRest);
  assert.equal(spec.cacheKey, undefined);
  const read = leaseOfSpec(spec);
  assert.deepEqual(toBinary(LeasedActionSchema, read), toBinary(LeasedActionSchema, lease));
  assert.equal(read.$unknown?.length, 1);
});

test("a number that JSON cannot hold is refused", () => {
  const lease = leaseOf({ epoch: protoInt64.parse("9007199254740993") });
  assert.throws(() => specOf(lease, "east"), UnstorableError);
});

test("state comes back; texts and events that are too many do not make the object too large", () => {
  const state: AttemptState = {
    pluginState: { pod: "x", n: 1, lost: null, yes: true },
    transitions: [
      { phase: "waitingForResources", at: new Date(1000) },
      { phase: "running", at: new Date(2000) },
      {
        phase: "failed",
        at: new Date(3000),
        error: { code: "OOMKilled", message: "too much", kind: "user", recoverable: true, uri: "s3://b/error.pb" },
      },
    ],
    details: {
      logsAvailable: true,
      logContext: create(LogContextSchema, { primaryPodName: "p" }),
      logInfo: [create(TaskLogSchema, { uri: "http://x", name: "n" })],
      clusterEvents: [create(ClusterEventSchema, { message: "pulled" })],
      usage: create(ResourceUsageSchema, { maxRssBytes: 5n }),
    },
    ending: {
      phase: "timedOut",
      reason: "late",
      error: { code: "T", message: "late", kind: "system", recoverable: false },
    },
    released: true,
  };
  assert.deepEqual(stateOf(throughJson(statusOf(state, full)), full), state);
  const succeeded: AttemptState = {
    transitions: [{ phase: "succeeded", at: new Date(1), outputUri: "s3://b/o" }],
    details: {},
    released: false,
  };
  assert.deepEqual(stateOf(throughJson(statusOf(succeeded, full)), full), succeeded);

  const events = Array.from({ length: 4000 }, () => create(ClusterEventSchema, { message: "m".repeat(1000) }));
  const error = { code: "E", message: "m".repeat(3 << 20), kind: "user", recoverable: false } as const;
  const huge = statusOf(
    {
      ...state,
      details: { logsAvailable: true, clusterEvents: events },
      transitions: [{ phase: "failed", at: new Date(1), error }],
      ending: { phase: "failed", reason: error.message, error },
    },
    full,
  );
  assert.ok(Buffer.byteLength(JSON.stringify(huge)) < 300_000);
  assert.deepEqual(stateOf(huge, full).details, { logsAvailable: true });
});

test("an object without status is an attempt that has just been leased, or ran before", () => {
  assert.deepEqual(stateOf(undefined, full), initialState(full));
  assert.deepEqual(
    initialState(full).transitions.map((one) => [one.phase, one.at.getTime()]),
    [["running", 1_700_000_000_002]],
  );
  assert.deepEqual(initialState(leaseOf({})).transitions, []);
});

test("what cannot be read says which field it is", () => {
  const spec = specOf(full, "east");
  const wrong = (change: object, why: RegExp) =>
    assert.throws(
      () => leaseOfSpec({ ...spec, ...change }),
      (error) => error instanceof MalformedError && why.test(error.message),
    );
  wrong({ taskTemplate: "not base64!" }, /spec\.taskTemplate: not base64/);
  wrong({ taskTemplate: Buffer.from([0xff, 0xff]).toString("base64") }, /spec\.taskTemplate/);
  wrong({ leaseRest: Buffer.from([0xff, 0xff]).toString("base64") }, /spec\.leaseRest/);
  wrong({ enqueuedAt: "yesterday" }, /spec\.enqueuedAt/);
  wrong({ runOutputBase: undefined }, /spec\.runOutputBase/);
  wrong({ envVars: { A: 1 } }, /spec\.envVars\.A/);
  assert.equal(keyOfSpec({ ...spec, runKey: "x" } as unknown as TaskAction["spec"]), undefined);
  assert.equal(keyOfSpec(undefined), undefined);
  const status = statusOf(initialState(full), full);
  for (const change of [{ pluginState: "!" }, { pluginState: "W10=" }, { details: "//8=" }, { phaseHistory: [{}] }]) {
    assert.throws(() => stateOf({ ...status, ...change } as never, full), MalformedError);
  }
});
