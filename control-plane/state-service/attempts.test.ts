import assert from "node:assert/strict";
import test from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { ClusterEventSchema } from "@flyte-ts/contract/flyteidl2/workflow/run_definition_pb.ts";
import { ActionPhase, phaseName, ROOT_ACTION } from "@flyte-ts/core";
import { engine, failure, inconsistencies, queueRows, task } from "../queue-service/testing.ts";

test("a user's failures use the task's retries, and the last error stays", async (t) => {
  const it = await engine(t);
  const { play } = it.replica;
  const run = await play.run(task("load", { retries: 2 }));
  const cluster = await it.cluster();
  for (let attempt = 1; attempt <= 3; attempt++) {
    const lease = await cluster.leased(run, ROOT_ACTION, attempt);
    await cluster.start(lease);
    assert.equal(await cluster.fail(lease, { message: `broke the ${attempt}. time` }), "accepted");
    assert.equal(await play.phase(run, ROOT_ACTION), attempt < 3 ? "QUEUED" : "FAILED");
  }
  const details = await play.details(run, ROOT_ACTION);
  assert.equal(details.status?.attempts, 3);
  assert.deepEqual(
    details.attempts.map((attempt) => [attempt.attempt, phaseName(attempt.phase), attempt.errorInfo?.message]),
    [1, 2, 3].map((attempt) => [attempt, "FAILED", `broke the ${attempt}. time`]),
  );
  assert.equal(details.result.case === "errorInfo" && details.result.value.message, "broke the 3. time");
  assert.ok(details.status?.endTime);
  assert.equal((await queueRows(it.database)).size, 0);
});

test("what the system lost has a budget of its own", async (t) => {
  const it = await engine(t, { systemRetries: 1 });
  const { play } = it.replica;
  const run = await play.run(task("load", { retries: 1 }));
  const cluster = await it.cluster();
  await cluster.fail(await cluster.leased(run, ROOT_ACTION, 1), { kind: "system", message: "the node is gone" });
  await cluster.fail(await cluster.leased(run, ROOT_ACTION, 2), { kind: "user" });
  await cluster.fail(await cluster.leased(run, ROOT_ACTION, 3), { kind: "system", message: "the next node too" });
  assert.equal(await play.phase(run, ROOT_ACTION), "FAILED");
  const { result } = await play.details(run, ROOT_ACTION);
  assert.equal(result.case === "errorInfo" && result.value.message, "the next node too");
});

test("a failure that the task calls final is the last", async (t) => {
  const it = await engine(t);
  const { play } = it.replica;
  const run = await play.run(task("load", { retries: 5 }));
  const cluster = await it.cluster();
  await cluster.fail(await cluster.leased(run, ROOT_ACTION), { recoverable: false });
  assert.equal(await play.phase(run, ROOT_ACTION), "FAILED");
});

test("a success after a failure leaves no error behind, and its attempt has a start of its own", async (t) => {
  const it = await engine(t);
  const { play } = it.replica;
  const run = await play.run(task("load", { retries: 1 }));
  const cluster = await it.cluster();
  await cluster.fail(await cluster.leased(run, ROOT_ACTION, 1));
  const waiting = await play.details(run, ROOT_ACTION);
  assert.deepEqual(
    waiting.attempts.map((attempt) => [attempt.attempt, phaseName(attempt.phase)]),
    [
      [1, "FAILED"],
      [2, "QUEUED"],
    ],
  );
  const [failed, next] = waiting.attempts;
  assert.deepEqual(next?.startTime, failed?.endTime, "the next attempt begins where the one before ended");
  await cluster.succeed(await cluster.leased(run, ROOT_ACTION, 2), "s3://flyte-data/out");
  const details = await play.details(run, ROOT_ACTION);
  assert.equal(details.result.case, undefined);
  assert.equal(details.attempts.at(-1)?.outputs?.outputUri, "s3://flyte-data/out/outputs.pb");
});

test("reports of one attempt in one group, out of order and doubled: the action ends once", async (t) => {
  const it = await engine(t);
  const { play } = it.replica;
  const run = await play.run(task("load", { retries: 3 }));
  const cluster = await it.cluster();
  const lease = await cluster.leased(run, ROOT_ACTION);
  const error = failure();
  const verdicts = await Promise.all([
    cluster.report(lease, [ActionPhase.RUNNING]),
    cluster.report(lease, [ActionPhase.FAILED], { error, released: true }),
    cluster.report(lease, [ActionPhase.FAILED], { error, released: true }),
    cluster.report(lease, [ActionPhase.SUCCEEDED]),
    cluster.report(lease, [ActionPhase.RUNNING]),
  ]);
  assert.deepEqual(verdicts, ["accepted", "accepted", "stale", "stale", "stale"]);
  assert.equal((await play.details(run, ROOT_ACTION)).status?.attempts, 2);
  const second = await cluster.leased(run, ROOT_ACTION, 2);
  const after = await Promise.all([
    cluster.report(second, [ActionPhase.SUCCEEDED]),
    cluster.report(second, [ActionPhase.RUNNING]),
    cluster.report(second, [ActionPhase.FAILED], { error }),
    cluster.release(second),
    cluster.release(second),
  ]);
  assert.deepEqual(after, ["accepted", "accepted", "accepted", "accepted", "accepted"]);
  assert.equal(await play.phase(run, ROOT_ACTION), "SUCCEEDED");
  assert.equal((await queueRows(it.database)).size, 0);
});

test("what lives below an action that failed for good ends with it; while there are retries it lives on", async (t) => {
  const it = await engine(t);
  const { play } = it.replica;
  const run = await play.run(task("parent", { retries: 1 }));
  const cluster = await it.cluster();
  await cluster.start(await cluster.leased(run, ROOT_ACTION, 1));
  await play.child(run, "c", task("child"));
  const child = await cluster.leased(run, "c");
  await cluster.start(child);
  await cluster.fail(await cluster.leased(run, ROOT_ACTION, 1));
  assert.deepEqual(await play.phases(), { [ROOT_ACTION]: "QUEUED", c: "RUNNING" });
  await cluster.fail(await cluster.leased(run, ROOT_ACTION, 2));
  assert.deepEqual(await play.phases(), { [ROOT_ACTION]: "FAILED", c: "ABORTED" });
  const details = await play.details(run, "c");
  assert.equal(details.result.case === "abortInfo" && details.result.value.reason, "its parent action ended");
  await cluster.release(await cluster.ordered(run, "c"));
  assert.deepEqual(await inconsistencies(it.database), []);
  assert.equal((await queueRows(it.database)).size, 0);
});

test("a pending child that was only held while its parent failed and retries is leased all the same", async (t) => {
  // Nobody looks again by himself.
  const it = await engine(t, { recheckMs: 600_000 });
  const { play } = it.replica;
  const run = await play.run(task("parent", { retries: 1 }));
  const cluster = await it.cluster({ slots: 1 });
  const parent = await cluster.leased(run, ROOT_ACTION);
  await cluster.start(parent);
  for (const name of ["c", "d"]) await play.child(run, name, task("child"));
  await cluster.leased(run, "c");
  await cluster.fail(parent);
  await cluster.succeed(await cluster.leased(run, "c"));
  await cluster.succeed(await cluster.leased(run, "d"));
  await cluster.succeed(await cluster.leased(run, ROOT_ACTION, 2));
  assert.equal(await play.phase(run, ROOT_ACTION), "SUCCEEDED");
});

test("a report of which parts cannot be read: the phase counts, what can be read is shown, nobody else suffers", async (t) => {
  const it = await engine(t);
  const { play } = it.replica;
  const cluster = await it.cluster();
  const run = await play.run(task("load"));
  const lease = await cluster.leased(run, ROOT_ACTION);
  const broken = new Uint8Array([0xff, 0xff, 0xff]);
  const event = toBinary(ClusterEventSchema, create(ClusterEventSchema, { message: "pulled" }));
  const details = { logContext: broken, logInfo: [broken], clusterEvents: [broken, event], error: broken };
  const other = await play.run(task("load"));
  const fine = await cluster.leased(other, ROOT_ACTION);
  const verdicts = await Promise.all([
    cluster.report(lease, [ActionPhase.RUNNING, ActionPhase.FAILED], { ...details, released: true }),
    cluster.succeed(fine),
  ]);
  assert.deepEqual(verdicts, ["accepted", "accepted"]);
  assert.equal(await play.phase(other, ROOT_ACTION), "SUCCEEDED");
  const [attempt] = (await play.details(run, ROOT_ACTION)).attempts;
  assert.equal(phaseName(attempt?.phase ?? 0), "FAILED");
  assert.match(attempt?.errorInfo?.message ?? "", /the error that its executor reported cannot be read/);
  assert.deepEqual(
    attempt?.clusterEvents.map(({ message }) => message),
    ["pulled"],
  );
});
