import assert from "node:assert/strict";
import test from "node:test";
import { Code } from "@connectrpc/connect";
import type { RunIdentifier } from "@flyte-ts/contract/flyteidl2/common/identifier_pb.ts";
import { ActionPhase, isTerminal, ROOT_ACTION } from "@flyte-ts/core";
import { type Database, DatabaseUnavailableError } from "@flyte-ts/platform/postgres";
import { failsWith } from "../testing.ts";
import {
  type Engine,
  engine,
  eventually,
  gated,
  inconsistencies,
  lockWaits,
  queueRows,
  type Replica,
  type TestCluster,
  task,
} from "./testing.ts";

/** Works through leases until the run of each is over: reports twice, fails some first attempts, reports what is stale. */
async function work(cluster: TestCluster, signal: AbortSignal, ready: (run: string) => Promise<void>): Promise<void> {
  const running: Promise<void>[] = [];
  for (let next = 0; ; next++) {
    const lease = await eventually(() => cluster.leases[next] ?? (signal.aborted ? null : undefined));
    if (!lease) break;
    running.push(
      (async () => {
        await cluster.start(lease);
        if (lease.ref?.name === ROOT_ACTION) await ready(lease.ref.run);
        const fails = lease.attempt === 1 && next % 5 === 0;
        const end = () => (fails ? cluster.fail(lease) : cluster.succeed(lease));
        const [verdict] = await Promise.all([end(), end()]);
        assert.equal(verdict, "accepted");
        assert.equal(await cluster.start(lease), "stale");
      })(),
    );
  }
  await Promise.all(running);
}

/** Follows the children of a run until all are over; an older state after a newer one fails. */
async function watchChildren(replica: Replica, run: RunIdentifier, count: number): Promise<void> {
  const left = new AbortController();
  const over = new Set<string>();
  for await (const message of replica.updates.children(
    { $typeName: "flyteidl2.common.ActionIdentifier", run, name: ROOT_ACTION },
    left.signal,
  )) {
    if (message.case !== "actionUpdate") continue;
    const { actionId, phase } = message.value;
    const name = actionId?.name ?? "";
    assert.ok(!over.has(name) || isTerminal(phase), `${name} lives again`);
    if (isTerminal(phase)) over.add(name);
    if (over.size === count) left.abort();
  }
  assert.equal(over.size, count);
}

test("two replicas and two clusters under load: every action ends exactly once, every watch sees it", async (t) => {
  const it = await engine(t);
  const other = await it.another();
  const [runs, children] = [12, 15];
  const stop = new AbortController();
  t.after(() => stop.abort());
  const clusters = [
    await it.cluster({ name: "east", slots: 40 }),
    await it.cluster({ name: "west", slots: 40 }, other),
  ];

  const ids = new Map<string, RunIdentifier>();
  const ready = async (name: string) => {
    const run = await eventually(() => ids.get(name));
    const watch = watchChildren([it.replica, other][runs % 2] ?? other, run, children);
    const enqueue = (index: number) => {
      const by = index % 2 === 0 ? it.replica : other;
      return by.play.child(run, `c${index}`, task("child", { retries: 1 }));
    };
    const all = Array.from({ length: children }, (_, index) => index);
    await Promise.all([...all, ...all.slice(0, 5)].map(enqueue));
    await watch;
  };
  const working = clusters.map((cluster) => work(cluster, stop.signal, ready));
  await Promise.all(
    Array.from({ length: runs }, async (_, index) => {
      const by = index % 2 === 0 ? it.replica : other;
      const run = await by.play.run(task("parent", { retries: 1 }));
      ids.set(run.name, run);
    }),
  );
  await eventually(async () => {
    const { rows } = await it.database.query<{ live: number }>({
      text: "select count(*)::int as live from queue_items",
    });
    return rows[0]?.live === 0 || undefined;
  });
  stop.abort();
  await Promise.all(working);

  // Each attempt is queued, runs and ends: three states of the row, however many reports came twice or late.
  const { rows } = await it.database.query<{ phase: number; attempts: number; version: number }>({
    text: "select phase, attempts, version from actions",
  });
  assert.equal(rows.length, runs * (children + 1));
  for (const { phase, attempts, version } of rows) {
    assert.equal(phase, ActionPhase.SUCCEEDED);
    assert.equal(version, attempts * 2 + 1);
  }
  assert.deepEqual(await inconsistencies(it.database), []);
  assert.deepEqual([...it.replica.errors, ...other.errors], []);
});

async function started(it: Engine) {
  const run = await it.replica.play.run(task("parent"));
  const cluster = await it.cluster();
  const lease = await cluster.leased(run, ROOT_ACTION);
  await cluster.start(lease);
  return { run, cluster, lease };
}

test("a connection lost before the commit: callers are told, nothing is stored, and the repetition is", async (t) => {
  const it = await engine(t);
  const gate = gated();
  const late = await it.another(gate.wrap);
  const { run } = await started(it);
  gate.close();
  const first = late.play.child(run, "a", task("child"));
  const told = assert.rejects(first, failsWith(Code.Unavailable, /database/));
  const sql = await gate.reached();
  const { rows } = await sql.query<{ pid: number }>({ text: "select pg_backend_pid() as pid" });
  await it.database.query({ text: "select pg_terminate_backend($1)", values: [rows[0]?.pid] });
  gate.open();
  await told;
  assert.deepEqual([...(await queueRows(it.database)).keys()], [ROOT_ACTION]);
  await late.play.child(run, "a", task("child"));
  assert.deepEqual(await it.replica.play.phases(), { a: "QUEUED", [ROOT_ACTION]: "RUNNING" });
  assert.deepEqual(await inconsistencies(it.database), []);
});

/** Commits, and then loses the answer. */
function losingAnswers(lose: () => boolean) {
  return (database: Database): Database => ({
    ...database,
    async transaction(body) {
      const result = await database.transaction(body);
      if (lose()) throw new DatabaseUnavailableError("the answer was lost", { maybeCommitted: true });
      return result;
    },
  });
}

test("a commit whose answer is lost: the repetition changes nothing", async (t) => {
  const it = await engine(t);
  let losing = false;
  const late = await it.another(losingAnswers(() => losing));
  const { run, lease } = await started(it);
  const cluster = await it.cluster({ name: "far", taskTypes: ["none"] }, late);
  losing = true;
  await assert.rejects(
    late.play.child(run, "a", task("child")),
    failsWith(Code.Unavailable, /database is unavailable/),
  );
  await assert.rejects(cluster.report(lease, [ActionPhase.SUCCEEDED]), /the answer was lost/);
  losing = false;
  assert.deepEqual(await it.replica.play.phases(), { [ROOT_ACTION]: "SUCCEEDED", a: "ABORTED" });
  await assert.rejects(late.play.child(run, "a", task("child")), failsWith(Code.Aborted, /is over/));
  assert.equal(await cluster.report(lease, [ActionPhase.SUCCEEDED], { released: true }), "accepted");
  assert.equal((await it.replica.play.details(run, ROOT_ACTION)).attempts.length, 1);
  assert.deepEqual(await inconsistencies(it.database), []);
});

test("a group that is a deadlock's victim is committed after all, and nobody hears of it", async (t) => {
  const it = await engine(t);
  const { run, cluster, lease } = await started(it);
  await it.replica.play.child(run, "c", task("child"));
  const child = await cluster.leased(run, "c");
  const other = await it.another();
  // Holds the row that the report asks for second, and then asks for the one that the report holds.
  const inTheWay = other.database.transaction(async (sql) => {
    await sql.query({ text: "set local deadlock_timeout = '60s'" });
    await sql.query({ text: "select 1 from queue_items where name = 'c' for update" });
    const end = cluster.succeed(lease);
    await eventually(async () => (await lockWaits(it.database)) > 0 || undefined);
    await sql.query({ text: "select 1 from queue_items where name = 'a0' for update" });
    return { end };
  });
  assert.equal(await (await inTheWay).end, "accepted");
  assert.deepEqual(await it.replica.play.phases(), { [ROOT_ACTION]: "SUCCEEDED", c: "ABORTED" });
  assert.equal(await cluster.release(child), "accepted");
  assert.equal((await queueRows(it.database)).size, 0);
});
