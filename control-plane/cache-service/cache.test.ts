import assert from "node:assert/strict";
import test from "node:test";
import { CatalogCacheStatus } from "@flyte-ts/contract/flyteidl2/core/catalog_pb.ts";
import { CacheLookupScope } from "@flyte-ts/contract/flyteidl2/task/run_pb.ts";
import { ROOT_ACTION } from "@flyte-ts/core";
import {
  type Engine,
  engine,
  eventually,
  gated,
  inconsistencies,
  lockWaits,
  queueRows,
  type RunOptions,
  type TaskOptions,
  task,
} from "../queue-service/testing.ts";

const outputs = "s3://flyte-data/result";

/** A run with a parent that runs, and a call of a cached task in it. */
async function calls(it: Engine, cache: TaskOptions["cache"] = {}) {
  const cluster = await it.cluster({ slots: 1000 });
  return {
    cluster,
    async parent(options: RunOptions = {}, replica = it.replica) {
      const run = await replica.play.run(task("parent"), options);
      await cluster.start(await cluster.leased(run, ROOT_ACTION));
      const call = (name: string, cacheKey = "k", by = replica) =>
        by.play.child(run, name, task("square", { cache }), { cacheKey });
      return { run, call };
    },
  };
}

const statusName = (status: number) =>
  Object.entries(CatalogCacheStatus).find(([, value]) => value === status)?.[0] ?? String(status);

async function seen(it: Engine, run: Parameters<Engine["replica"]["play"]["details"]>[0], name: string) {
  const details = await it.replica.play.details(run, name);
  return [await it.replica.play.phase(run, name), statusName(details.status?.cacheStatus ?? 0)];
}

test("the first call computes, a later one in another run gets its result without a lease", async (t) => {
  const it = await engine(t);
  const { cluster, parent } = await calls(it);
  const first = await parent();
  await first.call("c");
  assert.deepEqual(await seen(it, first.run, "c"), ["QUEUED", "CACHE_MISS"]);
  await cluster.succeed(await cluster.leased(first.run, "c"), outputs);
  assert.deepEqual(await seen(it, first.run, "c"), ["SUCCEEDED", "CACHE_POPULATED"]);

  const second = await parent();
  const before = cluster.leases.length;
  await second.call("c");
  assert.deepEqual(await seen(it, second.run, "c"), ["SUCCEEDED", "CACHE_HIT"]);
  const { outputsUri } = await it.replica.runs.getActionDataURIs({ actionId: { run: second.run, name: "c" } });
  assert.match(outputsUri, new RegExp(`^${outputs}`));
  await second.call("d", "another key");
  await cluster.leased(second.run, "d");
  assert.equal(cluster.leases.length, before + 1);
  assert.deepEqual(await inconsistencies(it.database), []);
});

test("a failed call leaves no entry", async (t) => {
  const it = await engine(t);
  const { cluster, parent } = await calls(it);
  const { run, call } = await parent();
  await call("c");
  await cluster.fail(await cluster.leased(run, "c"));
  await call("d");
  assert.deepEqual(await seen(it, run, "d"), ["QUEUED", "CACHE_MISS"]);
});

test("a root shares the entries of its task", async (t) => {
  const it = await engine(t);
  const cluster = await it.cluster();
  const cached = task("square", { cache: {} });
  const first = await it.replica.play.run(cached);
  await cluster.succeed(await cluster.leased(first, ROOT_ACTION), outputs);
  const second = await it.replica.play.run(cached);
  assert.deepEqual(await seen(it, second, ROOT_ACTION), ["SUCCEEDED", "CACHE_HIT"]);
  assert.equal((await queueRows(it.database)).size, 0);
});

test("a run that overwrites the cache computes again, and later runs get what it computed", async (t) => {
  const it = await engine(t);
  const { cluster, parent } = await calls(it);
  const first = await parent();
  await first.call("c");
  await cluster.succeed(await cluster.leased(first.run, "c"), outputs);
  const fresh = await parent({ spec: { overwriteCache: true } });
  await fresh.call("c");
  await cluster.succeed(await cluster.leased(fresh.run, "c"), `${outputs}/again`);
  const third = await parent();
  await third.call("c");
  const { outputsUri } = await it.replica.runs.getActionDataURIs({ actionId: { run: third.run, name: "c" } });
  assert.match(outputsUri, new RegExp(`^${outputs}/again`));
});

test("an entry older than the task's maximum age is computed again", async (t) => {
  const it = await engine(t);
  const { cluster, parent } = await calls(it, { maxAgeMs: 60_000 });
  const { run, call } = await parent();
  await call("c");
  await cluster.succeed(await cluster.leased(run, "c"), outputs);
  const age = (seconds: number) =>
    it.database.query({
      text: "update cache_entries set created_at = clock_timestamp() - $1 * interval '1 second'",
      values: [seconds],
    });
  await age(50);
  await call("young");
  assert.deepEqual(await seen(it, run, "young"), ["SUCCEEDED", "CACHE_HIT"]);
  await age(61);
  await call("old");
  assert.deepEqual(await seen(it, run, "old"), ["QUEUED", "CACHE_MISS"]);
});

test("entries are a project's own, unless the run asks for those of all", async (t) => {
  const it = await engine(t);
  const { cluster, parent } = await calls(it);
  const everywhere = { cacheConfig: { cacheLookupScope: CacheLookupScope.GLOBAL } };
  const ours = await parent({ project: "ours" });
  await ours.call("c");
  await cluster.succeed(await cluster.leased(ours.run, "c"), outputs);
  const theirs = await parent({ project: "theirs" });
  await theirs.call("c");
  assert.deepEqual(await seen(it, theirs.run, "c"), ["QUEUED", "CACHE_MISS"]);

  const shared = await parent({ project: "ours", spec: everywhere });
  await shared.call("c");
  assert.deepEqual(await seen(it, shared.run, "c"), ["QUEUED", "CACHE_MISS"]);
  await cluster.succeed(await cluster.leased(shared.run, "c"), outputs);
  const anywhere = await parent({ project: "theirs", spec: everywhere });
  await anywhere.call("c");
  assert.deepEqual(await seen(it, anywhere.run, "c"), ["SUCCEEDED", "CACHE_HIT"]);
});

test("five equal calls at once, from two replicas: one computes, the others wait and become hits", async (t) => {
  const it = await engine(t);
  const other = await it.another();
  const { cluster, parent } = await calls(it, { serialize: true });
  const [here, there] = [await parent(), await parent({}, other)];
  await Promise.all([here.call("c1"), here.call("c2"), there.call("c3"), there.call("c4"), there.call("c5")]);
  const rows = [...(await queueRows(it.database)).values()].filter(({ name }) => name !== ROOT_ACTION);
  assert.equal(rows.filter(({ state }) => state === 4).length, 4);
  const phases = Object.entries(await it.replica.play.phases()).filter(([name]) => name !== ROOT_ACTION);
  assert.equal(phases.filter(([, phase]) => phase === "WAITING_FOR_RESOURCES").length, 4);
  const lease = await eventually(() => cluster.leases.find(({ ref }) => ref?.name.startsWith("c")));
  await cluster.succeed(lease, outputs);
  const after = Object.entries(await it.replica.play.phases()).filter(([name]) => name !== ROOT_ACTION);
  assert.ok(after.every(([, phase]) => phase === "SUCCEEDED"));
  assert.equal(cluster.leases.filter(({ ref }) => ref?.name.startsWith("c")).length, 1);
  assert.deepEqual(await inconsistencies(it.database), []);
});

test("when the one who computes fails for good, the next in line has its turn; while it retries nobody has", async (t) => {
  const it = await engine(t);
  const { cluster, parent } = await calls(it, { serialize: true });
  const { run, call } = await parent();
  for (const name of ["c1", "c2", "c3"]) await call(name);
  await cluster.fail(await cluster.leased(run, "c1"), { kind: "system" });
  assert.deepEqual(await seen(it, run, "c2"), ["WAITING_FOR_RESOURCES", "CACHE_MISS"]);
  await cluster.fail(await cluster.leased(run, "c1", 2), { recoverable: false });
  const second = await cluster.leased(run, "c2");
  assert.equal((await queueRows(it.database)).get("c3")?.state, 4);
  await cluster.succeed(second, outputs);
  assert.deepEqual(await seen(it, run, "c2"), ["SUCCEEDED", "CACHE_POPULATED"]);
  assert.deepEqual(await seen(it, run, "c3"), ["SUCCEEDED", "CACHE_HIT"]);
});

test("who computes may end with its parent: the line of other runs moves on", async (t) => {
  const it = await engine(t);
  const { cluster, parent } = await calls(it, { serialize: true });
  const first = await parent();
  await first.call("c");
  const second = await parent();
  await second.call("d");
  await cluster.leased(first.run, "c");
  await it.replica.runs.abortRun({ runId: first.run });
  await cluster.succeed(await cluster.leased(second.run, "d"), outputs);
  assert.deepEqual(await seen(it, second.run, "d"), ["SUCCEEDED", "CACHE_POPULATED"]);
});

test("who leaves the line gives its turn to nobody: still only one computes", async (t) => {
  const it = await engine(t);
  const { cluster, parent } = await calls(it, { serialize: true });
  const { run, call } = await parent();
  for (const name of ["c1", "c2", "c3"]) await call(name);
  const lease = await cluster.leased(run, "c1");
  await it.replica.actions.abort({ actionId: { run, name: "c2" } });
  assert.equal((await queueRows(it.database)).get("c3")?.state, 4);
  await cluster.succeed(lease, outputs);
  assert.deepEqual(await seen(it, run, "c3"), ["SUCCEEDED", "CACHE_HIT"]);
});

test("who is put in line while the result is being stored gets it all the same", async (t) => {
  const it = await engine(t);
  const gate = gated();
  const late = await it.another(gate.wrap);
  const { cluster, parent } = await calls(it, { serialize: true });
  const { run, call } = await parent();
  await call("c1");
  const lease = await cluster.leased(run, "c1");
  gate.close();
  const second = call("c2", "k", late);
  await gate.reached();
  const end = cluster.succeed(lease, outputs);
  await eventually(async () => (await lockWaits(it.database)) > 0 || undefined);
  gate.open();
  await second;
  assert.equal(await end, "accepted");
  assert.deepEqual(await seen(it, run, "c2"), ["SUCCEEDED", "CACHE_HIT"]);
  assert.deepEqual(await inconsistencies(it.database), []);
});

test("a repeated call that is over holds no place: a new one in its group computes", async (t) => {
  const it = await engine(t);
  const { cluster, parent } = await calls(it, { serialize: true });
  const { run, call } = await parent();
  await call("c1");
  await cluster.fail(await cluster.leased(run, "c1"), { recoverable: false });
  await Promise.all([call("c1"), call("c2")]);
  await cluster.succeed(await cluster.leased(run, "c2"), outputs);
  assert.deepEqual(await seen(it, run, "c2"), ["SUCCEEDED", "CACHE_POPULATED"]);
});

test("a refused call holds no place either", async (t) => {
  const it = await engine(t);
  const { cluster, parent } = await calls(it, { serialize: true });
  const { run, call } = await parent();
  const orphan = it.replica.play.child(run, "c1", task("square", { cache: { serialize: true } }), {
    cacheKey: "k",
    parent: "nobody",
  });
  const [refused, accepted] = await Promise.allSettled([orphan, call("c2")]);
  assert.equal(refused.status, "rejected");
  assert.equal(accepted.status, "fulfilled");
  await cluster.succeed(await cluster.leased(run, "c2"), outputs);
});
