import assert from "node:assert/strict";
import test from "node:test";
import { create } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { ConnectRequestSchema } from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";
import { ActionPhase, phaseName, ROOT_ACTION } from "@flyte-ts/core";
import { failsWith } from "../testing.ts";
import { type Engine, engine, eventually, inconsistencies, queueRows, task } from "./testing.ts";

async function parentWith(it: Engine, children: readonly string[]) {
  const { play } = it.replica;
  const run = await play.run(task("parent"));
  const first = await it.cluster({ name: "parents", slots: 1 });
  await first.start(await first.leased(run, ROOT_ACTION));
  await first.close();
  for (const name of children) await play.child(run, name, task("child"));
  return run;
}

test("the oldest goes first, and no more than there are slots", async (t) => {
  const it = await engine(t);
  const run = await parentWith(it, ["c", "a", "b"]);
  const cluster = await it.cluster({ slots: 1 });
  for (const name of ["c", "a", "b"]) {
    const lease = await cluster.leased(run, name);
    const leased = [...(await queueRows(it.database)).values()].filter(
      ({ state, cluster: by }) => state === 1 && by === "embedded",
    );
    assert.deepEqual(
      leased.map((row) => row.name),
      [name],
    );
    await cluster.start(lease);
    await cluster.succeed(lease);
  }
  assert.deepEqual(
    cluster.leases.map(({ ref }) => ref?.name),
    ["c", "a", "b"],
  );
});

test("a slot stays taken until the attempt is gone from the cluster, not only over", async (t) => {
  const it = await engine(t);
  const run = await parentWith(it, ["a", "b"]);
  const cluster = await it.cluster({ slots: 1 });
  const lease = await cluster.leased(run, "a");
  await cluster.report(lease, [ActionPhase.SUCCEEDED]);
  assert.equal((await queueRows(it.database)).get("b")?.state, 0);
  assert.deepEqual((await cluster.ordered(run, "a")).epoch, lease.epoch);
  await cluster.release(lease);
  await cluster.leased(run, "b");
});

test("a chain of parents that wait for their child ends with two slots, whatever its depth", async (t) => {
  const it = await engine(t);
  const { play } = it.replica;
  const depth = 20;
  const run = await play.run(task("link"));
  const cluster = await it.cluster({ slots: 2 });
  const leases = [];
  for (let level = 0; level < depth; level++) {
    const name = level === 0 ? ROOT_ACTION : `c${level}`;
    const lease = await cluster.leased(run, name);
    await cluster.start(lease);
    leases.push(lease);
    if (level + 1 < depth) await play.child(run, `c${level + 1}`, task("link"), { parent: name });
  }
  for (const lease of leases.reverse()) assert.equal(await cluster.succeed(lease), "accepted");
  assert.equal(await play.phase(run, ROOT_ACTION), "SUCCEEDED");
  assert.equal((await queueRows(it.database)).size, 0);
});

test("what needs no slot is leased however full the cluster is", async (t) => {
  const it = await engine(t);
  const { play } = it.replica;
  const busy = await play.run(task("busy"));
  const cluster = await it.cluster({ slots: 1 });
  await cluster.leased(busy, ROOT_ACTION);
  const waits = await play.run(task("waits"));
  const nap = await play.run(task("nap", { type: "core-sleep" }));
  await cluster.leased(nap, ROOT_ACTION);
  assert.ok(!cluster.leases.some(({ ref }) => ref?.run === waits.name));
});

test("an accelerator is asked of a cluster that has it, and of no other", async (t) => {
  const it = await engine(t);
  const { play } = it.replica;
  const plain = await it.cluster({ name: "plain", capacity: { accelerators: ["nvidia-a10"] } });
  const trained = await play.run(task("train", { accelerator: "nvidia-l4" }));
  const loaded = await play.run(task("load"));
  await plain.leased(loaded, ROOT_ACTION);
  assert.deepEqual(
    plain.leases.map(({ ref }) => ref?.run),
    [loaded.name],
  );
  const fast = await it.cluster({ name: "fast", capacity: { accelerators: ["nvidia-t4", "nvidia-l4"] } });
  await fast.leased(trained, ROOT_ACTION);
});

test("a cluster gets only the task types it has a plugin for", async (t) => {
  const it = await engine(t);
  const { play } = it.replica;
  const python = await it.cluster({ name: "python", taskTypes: ["python-task", "core-sleep"] });
  const spark = await play.run(task("spark", { type: "spark" }));
  const load = await play.run(task("load"));
  await python.leased(load, ROOT_ACTION);
  assert.deepEqual(
    python.leases.map(({ ref }) => ref?.run),
    [load.name],
  );
  const any = await it.cluster({ name: "any" });
  await any.leased(spark, ROOT_ACTION);
});

test("a connection without a name is refused", async (t) => {
  const it = await engine(t);
  const request = create(ConnectRequestSchema, { slots: 1 });
  const stream = it.replica.link.connect(request, new AbortController().signal);
  await assert.rejects(stream.next(), /names no cluster/);
});

test("leases outlive the connection: the next one is told all that the cluster holds, then that this was all", async (t) => {
  const it = await engine(t);
  const { play } = it.replica;
  const run = await play.run(task("load"), { spec: { envs: { values: [{ key: "STAGE", value: "test" }] } } });
  const first = await it.cluster();
  const lease = await first.leased(run, ROOT_ACTION);
  await first.start(lease);
  for (const name of ["a", "b"]) await play.child(run, name, task("child"));
  const child = await first.leased(run, "a");
  await first.leased(run, "b");
  await first.close();
  await it.replica.actions.abort({ actionId: { run, name: "b" }, reason: "not needed" });

  const second = await it.cluster();
  assert.deepEqual(second.leases.map(({ ref }) => ref?.name).sort(), ["a", ROOT_ACTION]);
  assert.deepEqual(
    second.orders.map(({ ref }) => ref?.name),
    ["b"],
  );
  const held = await second.leased(run, ROOT_ACTION);
  assert.equal(held.epoch, lease.epoch);
  assert.ok(held.startedAt, "an attempt that runs since before is told when it began");
  assert.ok(!(await second.leased(run, "a")).startedAt);
  assert.deepEqual(held.envs, { STAGE: "test" });
  assert.deepEqual((await second.leased(run, "a")).envs, { STAGE: "test" });
  assert.equal(await second.succeed(child), "accepted");
});

test("what went to a connection that was already dead comes to the one that took its place", async (t) => {
  const it = await engine(t, { recheckMs: 50 });
  const { play } = it.replica;
  const dead = it.replica.link.connect(
    create(ConnectRequestSchema, { cluster: "embedded", taskTypes: ["*"], slots: 100 }),
    new AbortController().signal,
  );
  await dead.next();
  // Reads on and drops what it gets: the server has not noticed yet that nobody is there.
  const dropping = (async () => {
    for await (const _ of dead);
  })();
  const ended = assert.rejects(dropping, /another executor took over cluster embedded/);
  const cluster = await it.cluster();
  const runs = await Promise.all(Array.from({ length: 5 }, () => play.run(task("load"))));
  for (const run of runs) await cluster.leased(run, ROOT_ACTION);
  await ended;
});

test("a report of an attempt that was given up is stale", async (t) => {
  const it = await engine(t);
  const { play } = it.replica;
  const run = await play.run(task("load", { retries: 1 }));
  const cluster = await it.cluster();
  const first = await cluster.leased(run, ROOT_ACTION);
  assert.equal(await cluster.fail(first), "accepted");
  assert.equal(await cluster.succeed(first), "stale");
  const second = await cluster.leased(run, ROOT_ACTION, 2);
  assert.ok(second.epoch > first.epoch);
  assert.equal(await cluster.succeed(first), "stale");
  assert.equal(await cluster.report({ ...second, epoch: first.epoch }, [ActionPhase.SUCCEEDED]), "stale");
  assert.equal(await play.phase(run, ROOT_ACTION), "QUEUED");
  assert.equal(await cluster.succeed(second), "accepted");
  assert.equal(await play.phase(run, ROOT_ACTION), "SUCCEEDED");
  assert.equal(await cluster.succeed(second), "stale");
  assert.deepEqual(await inconsistencies(it.database), []);
});

test("a report of what does not exist is stale, one of nothing is refused", async (t) => {
  const it = await engine(t);
  const cluster = await it.cluster();
  const ref = { runKey: 99n, name: "a0" };
  assert.equal(await cluster.report({ epoch: 1n, attempt: 1 }, [ActionPhase.RUNNING], { ref }), "stale");
  await assert.rejects(cluster.report({ epoch: 1n, attempt: 1 }, []), failsWith(Code.Unknown, /names no action/));
});

test("a report whose error can not be read counts, and harms none that came with it", async (t) => {
  const it = await engine(t);
  const { play } = it.replica;
  const cluster = await it.cluster();
  const [good, bad] = [await play.run(task("good")), await play.run(task("bad"))];
  const [goodLease, badLease] = [await cluster.leased(good, ROOT_ACTION), await cluster.leased(bad, ROOT_ACTION)];
  const verdicts = await Promise.all([
    cluster.report(badLease, [ActionPhase.FAILED], { error: new Uint8Array([255, 255, 255]) }),
    cluster.succeed(goodLease),
  ]);
  assert.deepEqual(verdicts, ["accepted", "accepted"]);
  assert.equal(await play.phase(good, ROOT_ACTION), "SUCCEEDED");
  // A failure nobody can read is the system's, and tried again.
  const { attempts } = await play.details(bad, ROOT_ACTION);
  assert.equal(phaseName(attempts[0]?.phase ?? 0), "FAILED");
  assert.equal(await play.phase(bad, ROOT_ACTION), "QUEUED");
});

test("a delayed retry is leased when its time has come, without anything else happening", async (t) => {
  const it = await engine(t);
  const { play } = it.replica;
  const run = await play.run(task("load", { retries: 1, backoffMs: 300 }));
  const cluster = await it.cluster();
  await cluster.fail(await cluster.leased(run, ROOT_ACTION));
  const { rows } = await it.database.query<{ early: boolean; later: Date }>({
    text: `select not_before > clock_timestamp() as early, not_before as later from queue_items`,
  });
  assert.equal(rows[0]?.early, true);
  const second = await cluster.leased(run, ROOT_ACTION, 2);
  const { rows: after } = await it.database.query<{ leasedAt: Date }>({
    text: `select leased_at as "leasedAt" from queue_items`,
  });
  assert.ok(after[0] && rows[0] && after[0].leasedAt >= rows[0].later);
  await cluster.succeed(second);
});

test("two clusters never lease one row twice", async (t) => {
  const it = await engine(t);
  const { play } = it.replica;
  const other = await it.another();
  const one = await it.cluster({ name: "east" });
  const two = await it.cluster({ name: "west" }, other);
  const runs = await Promise.all(Array.from({ length: 40 }, () => play.run(task("load"))));
  const all = () => [...one.leases, ...two.leases].map(({ ref }) => ref?.run ?? "");
  await eventually(() => all().length >= runs.length || undefined);
  assert.deepEqual(all().sort(), runs.map(({ name }) => name).sort());
});
