import assert from "node:assert/strict";
import test from "node:test";
import { Code } from "@connectrpc/connect";
import { ActionPhase, ROOT_ACTION } from "@flyte-ts/core";
import { type Engine, engine, inconsistencies, queueRows, task } from "../queue-service/testing.ts";
import { failsWith } from "../testing.ts";
import type { ActionChange } from "./store.ts";

/** a0 ─┬─ a ─┬─ a-1 (leased), a0 ── b (pending), a0 ── w (a condition); the cluster has room for four. */
async function family(it: Engine) {
  const { play } = it.replica;
  const run = await play.run(task("root"));
  const cluster = await it.cluster({ slots: 1 });
  await cluster.start(await cluster.leased(run, ROOT_ACTION));
  await play.child(run, "a", task("parent"));
  await cluster.start(await cluster.leased(run, "a"));
  await play.child(run, "a-1", task("child"), { parent: "a" });
  await cluster.start(await cluster.leased(run, "a-1"));
  await play.child(run, "b", task("child"));
  await play.condition(run, "w");
  return { run, cluster, play };
}

test("what was ended where it ran says so, with its cluster's reason, as does all below it", async (t) => {
  const it = await engine(t);
  const { run, cluster, play } = await family(it);
  const lease = await cluster.leased(run, "a");
  const abortReason = "its TaskAction flyte/r1-a-7-0 was deleted by hand";
  assert.equal(await cluster.report(lease, [ActionPhase.ABORTED], { abortReason, released: true }), "accepted");
  for (const name of ["a", "a-1"]) {
    const { result } = await play.details(run, name);
    assert.equal(result.case, "abortInfo");
    assert.deepEqual(result.value.reason, `on cluster embedded: ${abortReason}`);
    assert.equal(result.value.abortedBy, undefined, "nobody asked the control plane");
  }
  // The cluster's answer to an order of ours changes nothing about why.
  await it.replica.runs.abortRun({ runId: run, reason: "enough" });
  const late = { abortReason: "because I was told to", released: true };
  await cluster.report(await cluster.leased(run, ROOT_ACTION), [ActionPhase.ABORTED], late);
  const { result } = await play.details(run, ROOT_ACTION);
  assert.equal(result.case === "abortInfo" && result.value.reason, "enough");
});

test("the abort of a run ends everything below it at one commit, with its reason", async (t) => {
  const it = await engine(t);
  const { run, cluster, play } = await family(it);
  const heard: ActionChange[][] = [];
  const { rows } = await it.database.query<{ id: bigint }>({ text: "select id from runs" });
  it.replica.bus.onRun(rows[0]?.id ?? 0n, (changes) => heard.push([...changes]));
  await it.replica.runs.abortRun({ runId: run, reason: "wrong inputs" });

  const names = ["a", "a-1", ROOT_ACTION, "b", "w"];
  assert.deepEqual(await play.phases(), Object.fromEntries(names.map((name) => [name, "ABORTED"])));
  assert.equal(heard.length, 1, "told as one commit");
  assert.deepEqual(heard[0]?.map(({ name }) => name).sort(), names);
  for (const name of names) {
    const { result } = await play.details(run, name);
    assert.equal(result.case === "abortInfo" && result.value.reason, "wrong inputs", name);
    const by = result.case === "abortInfo" && result.value.abortedBy?.principal;
    assert.equal(by && by.case === "user" && by.value.id?.subject, "local", name);
  }
  // What no cluster holds is gone at once; the rest waits for its cluster.
  const rest = await queueRows(it.database);
  assert.deepEqual([...rest].map(([name, row]) => [name, row.state]).sort(), [
    ["a", 2],
    ["a-1", 2],
    [ROOT_ACTION, 2],
  ]);
  for (const name of [ROOT_ACTION, "a", "a-1"]) {
    const order = await cluster.ordered(run, name);
    assert.equal(order.reason, "wrong inputs");
    assert.equal(await cluster.report(order, [ActionPhase.ABORTED], { released: true }), "accepted");
  }
  assert.equal((await queueRows(it.database)).size, 0);
  assert.equal(cluster.orders.length, 3, "ordered once each");
  assert.deepEqual(await inconsistencies(it.database), []);
});

test("the abort of one action ends its subtree and nothing else", async (t) => {
  const it = await engine(t);
  const { run, play } = await family(it);
  await it.replica.actions.abort({ actionId: { run, name: "a" }, reason: "too slow" });
  assert.deepEqual(await play.phases(), {
    [ROOT_ACTION]: "RUNNING",
    a: "ABORTED",
    "a-1": "ABORTED",
    b: "QUEUED",
    w: "PAUSED",
  });
  assert.deepEqual(await inconsistencies(it.database), []);
});

test("an end in the same commit takes no reason from an abort beside it", async (t) => {
  const it = await engine(t);
  const { play } = it.replica;
  const run = await play.run(task("root"));
  const cluster = await it.cluster();
  await cluster.start(await cluster.leased(run, ROOT_ACTION));
  for (const name of ["a", "b"]) {
    await play.child(run, name, task("parent"));
    await play.child(run, `${name}-1`, task("child"), { parent: name });
  }
  const lease = await cluster.leased(run, "b");
  await Promise.all([
    it.replica.actions.abort({ actionId: { run, name: "a" }, reason: "too slow" }),
    cluster.succeed(lease),
  ]);
  const reasons = await Promise.all(
    ["a-1", "b-1"].map(async (name) => {
      const { result } = await play.details(run, name);
      return result.case === "abortInfo" && result.value.reason;
    }),
  );
  assert.deepEqual(reasons, ["too slow", "its parent action ended"]);
});

test("an abort without a reason says that a user asked for it", async (t) => {
  const it = await engine(t);
  const run = await it.replica.play.run(task("root"));
  await it.replica.runs.abortRun({ runId: run });
  const { result } = await it.replica.play.details(run, ROOT_ACTION);
  assert.equal(result.case === "abortInfo" && result.value.reason, "User requested abort");
});

test("a second abort changes nothing: fine for whoever wants the end, refused where the action must be live", async (t) => {
  const it = await engine(t);
  const run = await it.replica.play.run(task("root"));
  const root = { run, name: ROOT_ACTION };
  await it.replica.runs.abortRun({ runId: run, reason: "first" });
  await it.replica.runs.abortRun({ runId: run, reason: "second" });
  await it.replica.runs.abortAction({ actionId: root, reason: "third" });
  await assert.rejects(
    it.replica.actions.abort({ actionId: root, reason: "fourth" }),
    failsWith(Code.FailedPrecondition, /action a0 of run .* is over already/),
  );
  const { result } = await it.replica.play.details(run, ROOT_ACTION);
  assert.equal(result.case === "abortInfo" && result.value.reason, "first");
});

test("what succeeded is not aborted any more, also when both come in one group", async (t) => {
  const it = await engine(t);
  const run = await it.replica.play.run(task("root"));
  const cluster = await it.cluster();
  const lease = await cluster.leased(run, ROOT_ACTION);
  await Promise.all([cluster.succeed(lease), it.replica.runs.abortRun({ runId: run, reason: "late" })]);
  assert.equal(await it.replica.play.phase(run, ROOT_ACTION), "SUCCEEDED");
});

test("a report behind an abort in its group only cleans up", async (t) => {
  const it = await engine(t);
  const run = await it.replica.play.run(task("root"));
  const cluster = await it.cluster();
  const lease = await cluster.leased(run, ROOT_ACTION);
  const key = { runId: lease.ref?.runKey ?? 0n, name: ROOT_ACTION };
  const [aborted, verdict] = await Promise.all([
    it.replica.writer.submit({ kind: "abort", key, reason: "no need", by: "" }),
    cluster.succeed(lease),
  ]);
  assert.equal(aborted, "applied");
  assert.equal(verdict, "accepted");
  assert.equal(await it.replica.play.phase(run, ROOT_ACTION), "ABORTED");
  assert.equal((await queueRows(it.database)).size, 0);
});

test("what does not exist can not be aborted", async (t) => {
  const it = await engine(t);
  const run = await it.replica.play.run(task("root"));
  await assert.rejects(
    it.replica.runs.abortAction({ actionId: { run, name: "x" } }),
    failsWith(Code.NotFound, /has no action x/),
  );
  await assert.rejects(
    it.replica.runs.abortRun({ runId: { ...run, name: "nowhere" } }),
    failsWith(Code.NotFound, /run nowhere does not exist/),
  );
});

test("an abort frees the slot only when the cluster has let go", async (t) => {
  const it = await engine(t);
  const { play } = it.replica;
  const first = await play.run(task("one"));
  const cluster = await it.cluster({ slots: 1 });
  await cluster.start(await cluster.leased(first, ROOT_ACTION));
  const second = await play.run(task("two"));
  await it.replica.runs.abortRun({ runId: first });
  const order = await cluster.ordered(first, ROOT_ACTION);
  assert.equal(await play.phase(second, ROOT_ACTION), "QUEUED");
  assert.ok(!cluster.leases.some(({ ref }) => ref?.run === second.name));
  await cluster.release(order);
  await cluster.leased(second, ROOT_ACTION);
});
