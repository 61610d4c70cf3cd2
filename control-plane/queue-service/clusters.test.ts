/** The registry: who may connect, who takes over, who gets what, and what people are told of it. */
import assert from "node:assert/strict";
import test from "node:test";
import { create } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { ClusterState } from "@flyte-ts/contract/flytets/cluster/v1/cluster_admin_pb.ts";
import { ConnectRequestSchema, type Registration } from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";
import { ROOT_ACTION, toMs } from "@flyte-ts/core";
import { failsWith } from "../testing.ts";
import { type Engine, engine, eventually, place, task } from "./testing.ts";

/** Which of the clusters was leased the root of each run. */
async function servedBy(it: Engine, runs: readonly { name: string }[]): Promise<string[]> {
  const clusters = await eventually(async () => {
    const { rows } = await it.database.query<{ name: string; cluster: string | null }>({
      text: "select r.name, q.cluster from queue_items q join runs r on r.id = q.run_id where q.name = 'a0'",
    });
    const found = runs.map(({ name }) => rows.find((row) => row.name === name)?.cluster);
    return found.every((one) => one) ? found : undefined;
  });
  return clusters.map((one) => one ?? "");
}

async function explained(it: Engine, run: { name: string }, action = ""): Promise<[string, Record<string, string>]> {
  const { summary, clusters } = await it.replica.admin.explainAction({ ...place, run: run.name, action });
  return [summary, Object.fromEntries(clusters.map((one) => [one.cluster, `${one.mayTake}: ${one.reason}`]))];
}

test("an executor elsewhere registers, keeps its session by heartbeats, and is told where payloads are", async (t) => {
  const it = await engine(t, { leaseMs: 30_000, heartbeatMs: 5_000 });
  const left = new AbortController();
  t.after(() => left.abort());
  const request = create(ConnectRequestSchema, {
    cluster: "east",
    executor: "east-1",
    clusterUid: "u1",
    kind: "kubernetes",
    version: "1.2",
    slots: 7,
    taskTypes: ["python-task"],
    queues: ["q"],
    labels: { region: "eu" },
    capacity: { cpu: 8, memoryBytes: 1024n, accelerators: ["t4"] },
  });
  const stream = it.replica.remoteLink.connect(request, { signal: left.signal })[Symbol.asyncIterator]();
  const first = (await stream.next()).value;
  const registration: Registration = first.registration;
  assert.ok(first.synced);
  assert.deepEqual([toMs(registration.leaseDuration), toMs(registration.heartbeatInterval)], [30_000, 5_000]);
  assert.equal((await it.replica.remoteLink.describe({ cluster: "east" })).objectStore?.url, "s3://flyte-data");

  const before = (await it.replica.admin.getCluster({ name: "east" })).cluster;
  const beat = (session: bigint) => it.replica.remoteLink.heartbeat({ cluster: "east", executor: "east-1", session });
  assert.deepEqual(
    (await Promise.all([beat(registration.session), beat(registration.session - 1n)])).map(({ current }) => current),
    [true, false],
  );
  const { cluster } = await it.replica.admin.getCluster({ name: "east" });
  assert.ok(before?.lastHeartbeatAt && cluster?.lastHeartbeatAt);
  const at = (stamp: { seconds: bigint; nanos: number }) => Number(stamp.seconds) * 1e9 + stamp.nanos;
  assert.ok(at(cluster.lastHeartbeatAt) > at(before.lastHeartbeatAt));
  const { name, kind, version, executor, state, labels, taskTypes, queues, slots } = cluster;
  assert.deepEqual(
    { name, kind, version, executor, state, labels: { ...labels }, taskTypes, queues, slots },
    {
      ...{ name: "east", kind: "kubernetes", version: "1.2", executor: "east-1", state: ClusterState.LIVE },
      ...{ labels: { region: "eu" }, taskTypes: ["python-task"], queues: ["q"], slots: 7 },
    },
  );
  assert.deepEqual(
    [cluster.capacity?.cpu, cluster.capacity?.memoryBytes, cluster.capacity?.accelerators],
    [8, 1024n, ["t4"]],
  );
  left.abort();
  await assert.rejects(stream.next());
});

test("the newest executor of a cluster takes over on every replica, and the earlier ones end", async (t) => {
  const it = await engine(t);
  const other = await it.another();
  const first = await it.cluster({ name: "east", executor: "first" });
  const run = await it.replica.play.run(task("load"));
  const lease = await first.leased(run, ROOT_ACTION);
  const second = await it.cluster({ name: "east", executor: "second" }, other);
  failsWith(Code.Unknown, /another executor took over cluster east: second/)(await first.ended);
  // What the cluster holds is the new one's to go on with.
  assert.equal((await second.leased(run, ROOT_ACTION)).epoch, lease.epoch);
  const told = first.leases.length;
  const runs = await Promise.all(Array.from({ length: 10 }, () => it.replica.play.run(task("load"))));
  for (const one of runs) await second.leased(one, ROOT_ACTION);
  assert.equal(first.leases.length, told);
  assert.equal(await second.succeed(lease), "accepted");
});

test("two executors that connect at the same moment: one stays, and slots are not leased twice", async (t) => {
  const it = await engine(t);
  const other = await it.another();
  for (let i = 0; i < 20; i++) await it.replica.play.run(task("load"));
  const both = await Promise.all([
    it.cluster({ name: "east", slots: 5, executor: "one" }),
    it.cluster({ name: "east", slots: 5, executor: "two" }, other),
  ]);
  const over = await Promise.race(both.map(async (one, index) => (await one.ended) && index));
  assert.ok(over === 0 || over === 1);
  await eventually(() => (both[1 - over]?.leases.length ?? 0) >= 5 || undefined);
  const { rows } = await it.database.query<{ leased: number }>({
    text: "select count(*)::int as leased from queue_items where state = 1",
  });
  assert.equal(rows[0]?.leased, 5);
});

test("the name of a live cluster is refused to another cluster, with what to do", async (t) => {
  const it = await engine(t);
  const holder = await it.cluster({ name: "east", uid: "u1", executor: "e1" });
  await assert.rejects(
    it.cluster({ name: "east", uid: "u2" }),
    /the name east belongs to a live cluster with uid u1 \(executor e1, heard of [\d.]+ s ago\), and this is another one, with uid u2: give this one a name of its own/,
  );
  await assert.rejects(it.cluster({ name: "east" }), /another one, without a uid/);
  const run = await it.replica.play.run(task("load"));
  await holder.leased(run, ROOT_ACTION);
});

test("a cluster that told no uid may tell one, and is told apart from then on", async (t) => {
  const it = await engine(t);
  const first = await it.cluster({ name: "east" });
  await it.cluster({ name: "east", uid: "u1" });
  await first.ended;
  await assert.rejects(it.cluster({ name: "east", uid: "u2" }), /belongs to a live cluster with uid u1/);
});

test("a heartbeat of a session that is over tells who has the cluster, until that one is silent for half a lease", async (t) => {
  const it = await engine(t, { leaseMs: 30_000, heartbeatMs: 5_000 });
  const { remoteLink } = it.replica;
  const early = await it.cluster({ name: "east", executor: "early" });
  const beat = async (session: bigint) => {
    const { current, holder } = await remoteLink.heartbeat({ cluster: "east", executor: "early", session });
    return [current, holder];
  };
  assert.deepEqual(await beat(early.session), [true, ""]);
  const late = await it.cluster({ name: "east", executor: "late" });
  assert.deepEqual(await beat(early.session), [false, "late"]);
  await late.close();
  await it.database.query({ text: "update clusters set last_heartbeat_at = now() - interval '16 s'" });
  assert.deepEqual(await beat(early.session), [false, ""]);
  assert.deepEqual(await beat(late.session), [true, ""]);
  await it.database.query({ text: "delete from clusters" });
  assert.deepEqual(await beat(late.session), [false, ""]);
});

test("drained, a cluster goes on with what it has and gets nothing new; the others get that", async (t) => {
  const it = await engine(t);
  const other = await it.another();
  const { play, admin } = it.replica;
  const east = await it.cluster({ name: "east" });
  const before = await play.run(task("load"));
  const lease = await east.leased(before, ROOT_ACTION);
  const { cluster } = await other.admin.drainCluster({ name: "east", reason: "upgrade" });
  assert.deepEqual([cluster?.state, cluster?.drainReason, cluster?.leased], [ClusterState.DRAINING, "upgrade", 1]);
  await admin.drainCluster({ name: "east", reason: "upgrade" });

  const [waits, naps] = [await play.run(task("load")), await play.run(task("nap", { type: "core-sleep" }))];
  assert.equal(await east.succeed(lease), "accepted");
  assert.deepEqual(await explained(it, waits), [
    "no cluster may take this python-task action",
    { east: "false: is draining: upgrade" },
  ]);
  const details = await play.details(waits, ROOT_ACTION);
  assert.match(
    details.attempts[0]?.clusterEvents[0]?.message ?? "",
    /no cluster may take .*\. east is draining: upgrade/,
  );
  assert.equal(east.leases.length, 1);

  const west = await it.cluster({ name: "west" }, other);
  await west.leased(waits, ROOT_ACTION);
  await west.leased(naps, ROOT_ACTION);
  await west.close();
  await admin.drainCluster({ name: "west" });
  const later = await play.run(task("load"));
  await admin.resumeCluster({ name: "east" });
  await east.leased(later, ROOT_ACTION);
  await assert.rejects(
    admin.drainCluster({ name: "north" }),
    failsWith(Code.NotFound, /no cluster north is registered/),
  );
});

test("queues, clusters by name, task types and labels send actions where they belong, whatever replica is asked", async (t) => {
  const it = await engine(t);
  const other = await it.another();
  await it.cluster({ name: "any" });
  await it.cluster({ name: "lane", queues: ["fast"] }, other);
  await it.cluster({ name: "spark", taskTypes: ["spark"] });
  await it.cluster(
    { name: "eu", taskTypes: ["none", "python-task"], labels: { region: "eu" }, queues: ["own"] },
    other,
  );
  const selector = { annotations: { values: { "flyte.org/cluster-selector": "region=eu" } } };
  const by = [it.replica, other] as const;
  const asks = [
    { task: task("a"), spec: { queue: "fast" } },
    { task: task("b"), spec: { clusterPool: "any" } },
    { task: task("c", { type: "spark" }), spec: {} },
    { task: task("d"), spec: selector },
    { task: task("e"), spec: {} },
    { task: task("f", { type: "core-sleep" }), spec: { queue: "fast" } },
  ];
  const runs = await Promise.all(
    asks.flatMap((ask) => by.map((replica) => replica.play.run(ask.task, { spec: ask.spec }))),
  );
  const expected = ["lane", "any", "spark", "eu", "any", "lane"].flatMap((name) => [name, name]);
  assert.deepEqual(await servedBy(it, runs), expected);
});

test("clusters that are alike share what is pending, and one without free slots leaves it to the other", async (t) => {
  const it = await engine(t);
  const other = await it.another();
  const runs = [];
  for (let i = 0; i < 40; i++) runs.push(await it.replica.play.run(task("load")));
  await it.cluster({ name: "one", slots: 30, queues: ["later"] });
  await it.cluster({ name: "two", slots: 10, queues: ["later"] }, other);
  const clusters = await servedBy(it, runs);
  assert.equal(clusters.filter((name) => name === "two").length, 10);
  const more = await it.replica.play.run(task("load"));
  const [summary, verdicts] = await explained(it, more);
  assert.equal(summary, "it waits for a free slot on one, two");
  assert.deepEqual(verdicts, { one: "true: 30 of 30 slots in use", two: "true: 10 of 10 slots in use" });
  const listed = (await it.replica.admin.listClusters({})).clusters;
  assert.deepEqual(
    listed.map(({ name, slotsUsed, leased, eligible }) => [name, slotsUsed, leased, eligible]),
    [
      ["one", 30, 30, 1],
      ["two", 10, 10, 1],
    ],
  );
});

test("what an explanation says of each state", async (t) => {
  const it = await engine(t);
  const { play } = it.replica;
  const run = await play.run(task("parent", { type: "spark", accelerator: "l4" }));
  assert.deepEqual(await explained(it, run), ["no cluster is registered, so nothing can run: start an executor", {}]);
  const small = await it.cluster({ name: "small", taskTypes: ["python-task"] });
  assert.deepEqual(await explained(it, run), [
    "no cluster may take this spark action",
    { small: "false: takes python-task, not spark; has no accelerator, not l4" },
  ]);
  const big = await it.cluster({ name: "big", capacity: { accelerators: ["l4"] } });
  const lease = await big.leased(run, ROOT_ACTION);
  assert.equal((await explained(it, run))[0], "attempt 1 is leased to cluster big: QUEUED");
  await big.start(lease);
  await play.condition(run, "w");
  assert.match((await explained(it, run, "w"))[0], /is a condition and waits for its signal/);
  await big.succeed(lease);
  assert.equal((await explained(it, run))[0], "it is over: SUCCEEDED; its last attempt was on cluster big");
  const retried = await play.run(task("load", { retries: 1, backoffMs: 3_600_000 }));
  await small.fail(await small.leased(retried, ROOT_ACTION));
  assert.match((await explained(it, retried))[0], /^attempt 2 begins in 3[56]\d\d/);
  await assert.rejects(explained(it, run, "none"), failsWith(Code.NotFound, /has no action none/));
  await assert.rejects(explained(it, { name: "nowhere" }), failsWith(Code.NotFound, /run nowhere does not exist/));
});

test("an action is leased with what its run says of it", async (t) => {
  const it = await engine(t);
  const spec = { interruptible: true, securityContext: { runAs: { k8sServiceAccount: "robot" } } };
  const run = await it.replica.play.run(task("load", { cache: {} }), { spec });
  const cluster = await it.cluster();
  const lease = await cluster.leased(run, ROOT_ACTION);
  assert.deepEqual([lease.interruptible, lease.serviceAccount, lease.shortName], [true, "robot", "load"]);
  assert.notEqual(lease.cacheKey, "");
});
