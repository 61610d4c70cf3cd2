import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { type Resource, ResourceSchema } from "@flyte-ts/contract/flyteidl2/connector/connector_pb.ts";
import { ContainerErrorSchema, TaskExecution_Phase as Phase } from "@flyte-ts/contract/flyteidl2/core/execution_pb.ts";
import { TaskTemplateSchema } from "@flyte-ts/contract/flyteidl2/core/tasks_pb.ts";
import { BadTaskError } from "./bad-task.ts";
import { connectorConfig } from "./config.ts";
import { connectionSpec, secretArguments } from "./connection.ts";
import { advance, endOf, eventsOf, hasEnded, pollAfter, underwayOf } from "./phase.ts";

const at = new Date(1_000);
const resource = (phase: Phase, message = ""): Resource => create(ResourceSchema, { phase, message });

test("each phase of a resource is under way, over, or nothing", () => {
  const expected: [Phase, string | undefined, boolean][] = [
    [Phase.UNDEFINED, undefined, false],
    [Phase.QUEUED, "waitingForResources", false],
    [Phase.WAITING_FOR_RESOURCES, "waitingForResources", false],
    [Phase.INITIALIZING, "initializing", false],
    [Phase.RUNNING, "running", false],
    [Phase.SUCCEEDED, undefined, true],
    [Phase.FAILED, undefined, true],
    [Phase.RETRYABLE_FAILED, undefined, true],
    [Phase.ABORTED, undefined, true],
  ];
  assert.equal(expected.length, Object.keys(Phase).length);
  for (const [phase, underway, ended] of expected) {
    assert.deepEqual([underwayOf(resource(phase)), hasEnded(resource(phase))], [underway, ended]);
  }
});

test("phases are told once and never backwards", () => {
  assert.deepEqual(advance(undefined, "running", at), [{ phase: "running", at }]);
  assert.deepEqual(advance("initializing", "running", at), [{ phase: "running", at }]);
  for (const now of ["waitingForResources", "initializing"] as const)
    assert.deepEqual(advance("initializing", now, at), []);
});

test("an error that the task wrote says more than the connector", () => {
  const error = create(ContainerErrorSchema, { code: "ValueError", message: "seven is no prime" });
  const end = endOf({
    resource: resource(Phase.FAILED, "exit code 1"),
    results: { error, hasOutputs: false },
    declaresOutputs: true,
    attemptUri: "s3://b/a",
    at,
  });
  assert.ok(end.phase === "failed");
  assert.deepEqual(
    [end.error.code, end.error.message, end.error.uri],
    ["ValueError", "seven is no prime", "s3://b/a/error.pb"],
  );
});

test("outputs that are left by a failed resource make no success", () => {
  const parts = { results: { error: undefined, hasOutputs: true }, declaresOutputs: true, attemptUri: "s3://b/a", at };
  assert.equal(endOf({ ...parts, resource: resource(Phase.FAILED) }).phase, "failed");
  assert.equal(endOf({ ...parts, resource: resource(Phase.SUCCEEDED) }).phase, "succeeded");
});

test("the longer nothing changes, the rarer the looks", () => {
  const config = { pollFirstMs: 1_000, pollMaxMs: 30_000 };
  assert.deepEqual(
    [0, 10_000, 60_000, 3_600_000].map((unchanged) => pollAfter(unchanged, config)),
    [1_000, 1_000, 6_000, 30_000],
  );
  assert.equal(pollAfter(0, { pollFirstMs: 60_000, pollMaxMs: 30_000 }), 60_000);
});

test("a message without end is cut", () => {
  const [event] = eventsOf(resource(Phase.RUNNING, "x".repeat(10_000)), at);
  assert.equal(event?.message.length, 4097);
  assert.deepEqual(eventsOf(create(ResourceSchema, { customInfo: {} }), at), []);
});

test("secrets are found by the task's variable, by its key, or by a key of their own", () => {
  const template = create(TaskTemplateSchema, {
    securityContext: { secrets: [{ group: "g", key: "k", groupVersion: "2", envVar: "TOKEN" }] },
    custom: { secrets: { a: "TOKEN", b: "k", c: "other" }, configs: { region: "eu", retries: 3 } },
  });
  const spec = connectionSpec(template);
  assert.deepEqual(spec.configs, { region: "eu" });
  assert.deepEqual(
    spec.secrets.map(({ ref }) => [ref.group, ref.key, ref.version]),
    [
      ["g", "k", "2"],
      ["g", "k", "2"],
      ["", "other", ""],
    ],
  );
  const text = (value: string) => Buffer.from(value);
  assert.deepEqual(secretArguments(spec, [text("1"), text("2"), text("3")]), { a: "1", b: "2", c: "3" });
  const notText = [text("1"), new Uint8Array([0xff]), text("3")];
  assert.throws(
    () => secretArguments(spec, notText),
    (error) => error instanceof BadTaskError && error.code === "SecretNotText",
  );
  assert.deepEqual(connectionSpec(undefined), { secrets: [], configs: {} });
});

test("endpoints are host:port", () => {
  for (const endpoint of ["c:8000", "c.flyte.svc.cluster.local:80", "[::1]:8000", "10.0.0.1:443"]) {
    assert.equal(connectorConfig.parse({ endpoint }).endpoint, endpoint);
  }
  assert.equal(connectorConfig.parse({ endpoint: "dns:///c:8000" }).endpoint, "c:8000");
  for (const endpoint of ["c", "http://c:80", "c:http", "c:80/x", ""]) {
    assert.throws(() => connectorConfig.parse({ endpoint }), /host:port/);
  }
});
