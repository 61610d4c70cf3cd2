import assert from "node:assert/strict";
import test from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import {
  ContainerError_Kind,
  ErrorDocumentSchema,
  ExecutionError_ErrorKind,
} from "@flyte-ts/contract/flyteidl2/core/execution_pb.ts";
import { SimpleType } from "@flyte-ts/contract/flyteidl2/core/types_pb.ts";
import { ActionPhase, ROOT_ACTION } from "@flyte-ts/core";
import { type Engine, engine, queueRows, task } from "../queue-service/testing.ts";
import { failsWith } from "../testing.ts";

async function runningParent(it: Engine) {
  const run = await it.replica.play.run(task("parent"));
  const cluster = await it.cluster();
  await cluster.start(await cluster.leased(run, ROOT_ACTION));
  return { run, cluster, play: it.replica.play };
}

test("a condition waits without a cluster until it is signalled, and keeps who said what", async (t) => {
  const it = await engine(t);
  const { run, play, cluster } = await runningParent(it);
  await play.condition(run, "w");
  assert.equal(await play.phase(run, "w"), "PAUSED");
  await play.signal(run, "w", true);
  const { result } = await play.details(run, "w");
  assert.ok(result.case === "signalInfo");
  const scalar = result.value.output?.value;
  assert.ok(scalar?.case === "scalar" && scalar.value.value.case === "primitive");
  assert.deepEqual(scalar.value.value.value.value, { case: "boolean", value: true });
  assert.equal(await play.phase(run, "w"), "SUCCEEDED");
  assert.deepEqual([...(await queueRows(it.database)).keys()], [ROOT_ACTION]);
  assert.equal(cluster.leases.length, 1);
});

test("a signal must be of the condition's type", async (t) => {
  const it = await engine(t);
  const { run, play } = await runningParent(it);
  await play.condition(run, "w", { type: SimpleType.BOOLEAN });
  await assert.rejects(
    play.signal(run, "w", "yes"),
    failsWith(Code.InvalidArgument, /condition approval takes a boolean, not a string/),
  );
  assert.equal(await play.phase(run, "w"), "PAUSED");
});

test("the same answer again is fine, another one comes too late", async (t) => {
  const it = await engine(t);
  const { run, play } = await runningParent(it);
  await play.condition(run, "w", { type: SimpleType.STRING });
  await play.signal(run, "w", "yes");
  await play.signal(run, "w", "yes");
  await assert.rejects(
    play.signal(run, "w", "no"),
    failsWith(Code.FailedPrecondition, /condition approval is over already/),
  );
});

test("of two answers at once one counts", async (t) => {
  const it = await engine(t);
  const other = await it.another();
  const { run, play } = await runningParent(it);
  await play.condition(run, "w");
  const results = await Promise.allSettled([
    play.signal(run, "w", true),
    other.play.signal(run, "w", false),
    play.signal(run, "w", false),
    other.play.signal(run, "w", true),
  ]);
  assert.equal(results.filter(({ status }) => status === "fulfilled").length, 2);
});

test("only conditions that are there and live can be signalled", async (t) => {
  const it = await engine(t);
  const { run, play } = await runningParent(it);
  await assert.rejects(play.signal(run, "x", true), failsWith(Code.NotFound, /no action x/));
  await assert.rejects(
    play.signal(run, ROOT_ACTION, true),
    failsWith(Code.FailedPrecondition, /a0 is not a condition/),
  );
  await play.condition(run, "w");
  await it.replica.runs.abortRun({ runId: run });
  await assert.rejects(play.signal(run, "w", true), failsWith(Code.FailedPrecondition, /is over already/));
});

test("a trace is recorded when it is over, and once", async (t) => {
  const it = await engine(t);
  const { run, play } = await runningParent(it);
  await play.trace(run, "t", ActionPhase.SUCCEEDED, "s3://flyte-data/t/outputs.pb");
  await play.trace(run, "t", ActionPhase.SUCCEEDED, "s3://flyte-data/other/outputs.pb");
  await play.trace(run, "t", ActionPhase.FAILED);
  assert.equal(await play.phase(run, "t"), "SUCCEEDED");
  const { outputsUri } = await it.replica.runs.getActionDataURIs({ actionId: { run, name: "t" } });
  assert.equal(outputsUri, "s3://flyte-data/t/outputs.pb");
  assert.deepEqual([...(await queueRows(it.database)).keys()], [ROOT_ACTION]);
});

test("a trace that failed has the error its process left, until a later attempt records a success", async (t) => {
  const it = await engine(t);
  const { run, play } = await runningParent(it);
  const document = create(ErrorDocumentSchema, {
    error: {
      code: "ValueError",
      message: "seven is no colour",
      kind: ContainerError_Kind.RECOVERABLE,
      origin: ExecutionError_ErrorKind.USER,
    },
  });
  await it.objects.put(
    `s3://flyte-data/${run.project}/${run.domain}/${run.name}/t/error.pb`,
    toBinary(ErrorDocumentSchema, document),
  );
  await play.trace(run, "t", ActionPhase.FAILED);
  const failed = await play.details(run, "t");
  assert.ok(failed.result.case === "errorInfo");
  assert.equal(failed.result.value.code, "ValueError");
  assert.equal(failed.result.value.message, "seven is no colour");
  await play.trace(run, "t", ActionPhase.SUCCEEDED, "s3://flyte-data/t/outputs.pb");
  const again = await play.details(run, "t");
  assert.equal(again.status?.phase, ActionPhase.SUCCEEDED);
  assert.equal(again.result.case, undefined);
});

test("a trace that could not write its error is recorded without one; one that can not be read keeps nobody out", async (t) => {
  const it = await engine(t);
  const { run, play } = await runningParent(it);
  await play.trace(run, "t", ActionPhase.FAILED);
  assert.equal(await play.phase(run, "t"), "FAILED");
  await it.objects.put(
    `s3://flyte-data/${run.project}/${run.domain}/${run.name}/u/error.pb`,
    new Uint8Array([255, 255]),
  );
  await play.trace(run, "u", ActionPhase.FAILED);
  assert.equal(await play.phase(run, "u"), "FAILED");
});
