import assert from "node:assert/strict";
import test from "node:test";
import { ActionPhase, ROOT_ACTION } from "@flyte-ts/core";
import { type Engine, engine, eventually, failure, inconsistencies, queueRows, task } from "./testing.ts";

type Run = Parameters<Engine["replica"]["play"]["details"]>[0];

async function untilOver(it: Engine, run: Run, name = ROOT_ACTION) {
  const details = await eventually(async () => {
    const now = await it.replica.play.details(run, name);
    return now.status?.phase === ActionPhase.TIMED_OUT ? now : undefined;
  });
  return details.result.case === "errorInfo" ? details.result.value : undefined;
}

test("an action that finds no place to run within its queued timeout", async (t) => {
  const it = await engine(t);
  it.replica.watchLimits();
  const run = await it.replica.play.run(task("load", { queuedTimeoutMs: 150 }));
  const error = await untilOver(it, run);
  assert.equal(error?.code, "QUEUED_TIMEOUT_EXCEEDED");
  assert.match(error?.message ?? "", /queued timeout of 0\.15 s/);
  assert.equal((await queueRows(it.database)).size, 0);
});

test("a lease that never runs is still queued: it is ended, and its cluster told", async (t) => {
  const it = await engine(t);
  it.replica.watchLimits();
  const run = await it.replica.play.run(task("load", { queuedTimeoutMs: 150 }));
  const cluster = await it.cluster();
  const lease = await cluster.leased(run, ROOT_ACTION);
  await cluster.report(lease, [ActionPhase.INITIALIZING]);
  await untilOver(it, run);
  assert.equal((await cluster.ordered(run, ROOT_ACTION)).epoch, lease.epoch);
  await cluster.release(lease);
  assert.equal((await queueRows(it.database)).size, 0);
});

test("what runs has no queued timeout any more; its next attempt has it anew", async (t) => {
  const it = await engine(t);
  const due = async () => {
    const { rows } = await it.database.query<{ due: Date | null }>({ text: "select due_at as due from queue_items" });
    return rows[0]?.due;
  };
  const run = await it.replica.play.run(task("load", { queuedTimeoutMs: 600_000, retries: 1 }));
  const first = await due();
  assert.ok(first);
  const cluster = await it.cluster();
  const lease = await cluster.leased(run, ROOT_ACTION);
  await cluster.start(lease);
  assert.equal(await due(), null);
  await cluster.report(lease, [ActionPhase.FAILED], { error: failure(), released: true });
  const second = await due();
  assert.ok(second && second > first);
});

test("a deadline covers all attempts, also one that runs", async (t) => {
  const it = await engine(t);
  it.replica.watchLimits();
  const run = await it.replica.play.run(task("load", { deadlineMs: 400, retries: 100 }));
  const cluster = await it.cluster();
  await cluster.fail(await cluster.leased(run, ROOT_ACTION, 1));
  await cluster.start(await cluster.leased(run, ROOT_ACTION, 2));
  await it.replica.play.child(run, "c", task("child"));
  const error = await untilOver(it, run);
  assert.equal(error?.code, "DEADLINE_EXCEEDED");
  assert.equal(await it.replica.play.phase(run, "c"), "ABORTED");
  await cluster.ordered(run, ROOT_ACTION);
  assert.deepEqual(await inconsistencies(it.database), []);
});

test("a condition that nobody signals in time", async (t) => {
  const it = await engine(t);
  it.replica.watchLimits();
  const run = await it.replica.play.run(task("parent"));
  const cluster = await it.cluster();
  await cluster.start(await cluster.leased(run, ROOT_ACTION));
  await it.replica.play.condition(run, "w", { timeoutMs: 100 });
  await it.replica.play.condition(run, "patient");
  const error = await untilOver(it, run, "w");
  assert.equal(error?.code, "ConditionTimedOut");
  assert.equal(await it.replica.play.phase(run, "patient"), "PAUSED");
});

test("two replicas that watch the same limit end the action once", async (t) => {
  const it = await engine(t);
  const other = await it.another();
  it.replica.watchLimits();
  other.watchLimits();
  const runs = await Promise.all(
    Array.from({ length: 10 }, () => it.replica.play.run(task("load", { queuedTimeoutMs: 100 }))),
  );
  for (const run of runs) await untilOver(it, run);
  const { rows } = await it.database.query<{ version: number }>({ text: "select distinct version from actions" });
  assert.deepEqual(rows, [{ version: 2 }]);
  assert.deepEqual([...it.replica.errors, ...other.errors], []);
});

test("a retry and a limit of the attempt before it in one group: the retry stands", async (t) => {
  const it = await engine(t);
  const { play, writer } = it.replica;
  const run = await play.run(task("load", { queuedTimeoutMs: 600_000, retries: 1 }));
  const cluster = await it.cluster();
  const lease = await cluster.leased(run, ROOT_ACTION);
  await it.database.query({ text: "update queue_items set enqueued_at = enqueued_at - interval '1 hour'" });
  const key = { runId: lease.ref?.runKey ?? 0n, name: ROOT_ACTION };
  const [verdict, expired] = await Promise.all([cluster.fail(lease), writer.submit({ kind: "expire", key })]);
  assert.equal(verdict, "accepted");
  assert.equal(expired, "stale");
  assert.equal(await play.phase(run, ROOT_ACTION), "QUEUED");
});
