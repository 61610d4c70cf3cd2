import assert from "node:assert/strict";
import test from "node:test";
import { Code } from "@connectrpc/connect";
import { ActionPhase, ROOT_ACTION } from "@flyte-ts/core";
import { DatabaseUnavailableError } from "@flyte-ts/platform/postgres";
import { failsWith } from "../testing.ts";
import { engine, eventually, gated, inconsistencies, lockWaits, queueRows, task } from "./testing.ts";

test("an action enqueued again and again is one action: in one group, in the next, and by another replica", async (t) => {
  const it = await engine(t);
  const other = await it.another();
  const run = await it.replica.play.run(task("parent"));
  const cluster = await it.cluster();
  await cluster.start(await cluster.leased(run, ROOT_ACTION));
  const again = (replica = it.replica) => replica.play.child(run, "c", task("child"));
  await Promise.all([again(), again(), again()]);
  await again();
  await Promise.all([again(), again(other), again(), again(other)]);
  const lease = await cluster.leased(run, "c");
  await cluster.start(lease);
  await again(other);
  await cluster.succeed(lease);
  await again();
  assert.deepEqual(await it.replica.play.phases(), { [ROOT_ACTION]: "RUNNING", c: "SUCCEEDED" });
  assert.equal(cluster.leases.length, 2);
  assert.deepEqual([...(await queueRows(it.database)).keys()], [ROOT_ACTION]);
});

test("a run's name can be taken once, whoever comes first", async (t) => {
  const it = await engine(t);
  const other = await it.another();
  const create = (replica = it.replica) => replica.play.run(task("load"), { name: "nightly" });
  const results = await Promise.allSettled([create(), create(), create(other), create(other)]);
  assert.equal(results.filter(({ status }) => status === "fulfilled").length, 1);
  const expected = failsWith(Code.AlreadyExists, /run nightly exists in shop\/development/);
  for (const result of results) if (result.status === "rejected") expected(result.reason);
  await assert.rejects(create(), expected);
  assert.equal((await queueRows(it.database)).size, 1);
});

test("a second run under a taken name leaves the inputs of the first alone", async (t) => {
  const it = await engine(t);
  const create = (value: string) =>
    it.replica.runs.createRun({
      id: { case: "runId", value: { org: "test", project: "shop", domain: "development", name: "nightly" } },
      task: { case: "taskSpec", value: task("load") },
      inputWrapper: {
        case: "inputs",
        value: { literals: [{ name: value, value: { value: { case: "scalar", value: {} } } }] },
      },
      runSpec: {},
    });
  await create("first");
  await assert.rejects(create("second"), failsWith(Code.AlreadyExists, /nightly exists/));
  const { inputsUri } = await it.replica.runs.getActionDataURIs({
    actionId: { run: { org: "test", project: "shop", domain: "development", name: "nightly" }, name: ROOT_ACTION },
  });
  const stored = Buffer.from(await it.objects.get(`${inputsUri}/inputs.pb`)).toString("latin1");
  assert.match(stored, /first/);
});

test("a child needs a run and a parent that exist", async (t) => {
  const it = await engine(t);
  const { play } = it.replica;
  const run = await play.run(task("parent"));
  await assert.rejects(
    play.child({ ...run, name: "nowhere" }, "c", task("child")),
    failsWith(Code.NotFound, /run nowhere does not exist in shop\/development/),
  );
  await assert.rejects(
    play.child(run, "c", task("child"), { parent: "b" }),
    failsWith(Code.NotFound, /has no action b that could be the parent of c/),
  );
  assert.deepEqual(await play.phases(), { [ROOT_ACTION]: "QUEUED" });
});

test("one refused child keeps no other of its group out", async (t) => {
  const it = await engine(t);
  const { play } = it.replica;
  const run = await play.run(task("parent"));
  const results = await Promise.allSettled([
    play.child(run, "a", task("child")),
    play.child(run, "b", task("child"), { parent: "nobody" }),
    play.child(run, "c", task("child")),
  ]);
  assert.deepEqual(
    results.map(({ status }) => status),
    ["fulfilled", "rejected", "fulfilled"],
  );
  assert.deepEqual([...(await queueRows(it.database)).keys()], [ROOT_ACTION, "a", "c"]);
});

test("when nothing can be read behind the commit, only the orphan of the group hears so", async (t) => {
  const it = await engine(t);
  const late = await it.another((database) => ({
    ...database,
    async query(statement) {
      if (statement.name === "read-actions") throw new DatabaseUnavailableError("lost behind the commit");
      return database.query(statement);
    },
  }));
  const run = await it.replica.play.run(task("parent"));
  const [orphan, child] = await Promise.allSettled([
    late.play.child(run, "a", task("child"), { parent: "nobody" }),
    late.play.child(run, "b", task("child")),
  ]);
  assert.ok(orphan.status === "rejected");
  failsWith(Code.Unavailable, /database is unavailable/)(orphan.reason);
  assert.equal(child.status, "fulfilled");
});

test("one action with a value that no database takes keeps no other of its group out", async (t) => {
  const it = await engine(t);
  const { play } = it.replica;
  const run = await play.run(task("parent"));
  const [spoilt, kept] = await Promise.allSettled([
    play.child(run, "a", task("child"), { group: "nul \0 here" }),
    play.child(run, "b", task("child")),
  ]);
  assert.equal(kept.status, "fulfilled");
  assert.ok(spoilt.status === "rejected");
  failsWith(Code.InvalidArgument, /holds a value that can not be stored/)(spoilt.reason);
  assert.deepEqual([...(await queueRows(it.database)).keys()], [ROOT_ACTION, "b"]);
});

test("a parent that is over has no new children", async (t) => {
  const it = await engine(t);
  const { play } = it.replica;
  const run = await play.run(task("parent"));
  const cluster = await it.cluster();
  await cluster.succeed(await cluster.leased(run, ROOT_ACTION));
  const refused = failsWith(Code.Aborted, /action a0 of run .* is over; it can have no new children/);
  await assert.rejects(play.child(run, "c", task("child")), refused);
  await assert.rejects(play.trace(run, "t", ActionPhase.SUCCEEDED), refused);
  await assert.rejects(play.condition(run, "w"), refused);
  assert.deepEqual(await play.phases(), { [ROOT_ACTION]: "SUCCEEDED" });
});

test("a parent that is over but not yet gone from its cluster has none either", async (t) => {
  const it = await engine(t);
  const { play } = it.replica;
  const run = await play.run(task("parent"));
  const cluster = await it.cluster();
  await cluster.report(await cluster.leased(run, ROOT_ACTION), [ActionPhase.SUCCEEDED]);
  assert.equal((await queueRows(it.database)).get(ROOT_ACTION)?.state, 2);
  await assert.rejects(play.child(run, "c", task("child")), failsWith(Code.Aborted, /is over/));
});

test("a child that comes while its parent is ending is refused or ended with it", async (t) => {
  for (const first of ["child", "end"] as const) {
    await t.test(`${first} first`, async (t) => {
      const it = await engine(t);
      const gate = gated();
      const late = await it.another(gate.wrap);
      const run = await it.replica.play.run(task("parent"));
      const cluster = await it.cluster();
      const slow = await it.cluster({ name: "slow", taskTypes: ["none"] }, late);
      const lease = await cluster.leased(run, ROOT_ACTION);
      await cluster.start(lease);
      gate.close();
      // The one that comes first has written everything and not committed; the other one waits for its rows.
      const child = () => (first === "child" ? late : it.replica).play.child(run, "c", task("child"));
      const end = () => (first === "child" ? cluster : slow).succeed(lease);
      const held = first === "child" ? child() : end();
      await gate.reached();
      const waiting = first === "child" ? end() : child();
      waiting.catch(() => {});
      await eventually(async () => (await lockWaits(it.database)) > 0 || undefined);
      gate.open();
      await held;
      if (first === "child") assert.equal(await waiting, "accepted");
      else await assert.rejects(waiting, failsWith(Code.Aborted, /is over/));
      assert.deepEqual(
        await it.replica.play.phases(),
        first === "child" ? { [ROOT_ACTION]: "SUCCEEDED", c: "ABORTED" } : { [ROOT_ACTION]: "SUCCEEDED" },
      );
      assert.deepEqual(await inconsistencies(it.database), []);
    });
  }
});

test("a grandchild that comes while the end of its grandparent is under way ends with it", async (t) => {
  const it = await engine(t);
  const gate = gated();
  const late = await it.another(gate.wrap);
  const { play } = it.replica;
  const run = await play.run(task("parent"));
  const cluster = await it.cluster();
  const root = await cluster.leased(run, ROOT_ACTION);
  await play.child(run, "c", task("child"));
  await cluster.start(await cluster.leased(run, "c"));
  gate.close();
  const grandchild = late.play.child(run, "g", task("grandchild"), { parent: "c" });
  await gate.reached();
  const end = cluster.succeed(root);
  await eventually(async () => (await lockWaits(it.database)) > 0 || undefined);
  gate.open();
  await grandchild;
  assert.equal(await end, "accepted");
  assert.deepEqual(await play.phases(), { [ROOT_ACTION]: "SUCCEEDED", c: "ABORTED", g: "ABORTED" });
  assert.deepEqual(await inconsistencies(it.database), []);
});

test("children of parents that end at the same time: no child ever outlives its parent", async (t) => {
  const it = await engine(t);
  const other = await it.another();
  const { play } = it.replica;
  const rounds = 200;
  const run = await play.run(task("root"));
  const cluster = await it.cluster({ slots: 1000 });
  await cluster.start(await cluster.leased(run, ROOT_ACTION));
  const names = Array.from({ length: rounds }, (_, round) => `p${round}`);
  await Promise.all(names.map((name) => play.child(run, name, task("parent"))));
  const turns = async (count: number) => {
    for (let turn = 0; turn < count; turn++) await new Promise((resolve) => setImmediate(resolve));
  };
  let late = 0;
  const families = names.map(async (parent, round) => {
    const lease = await cluster.leased(run, parent);
    const by = round % 2 === 0 ? other : it.replica;
    const child = async (name: string, after: number, below = parent) => {
      await turns(after);
      await by.play.child(run, name, task("child"), { parent: below }).catch((error) => {
        late++;
        failsWith(Code.Aborted, /is over/)(error);
      });
    };
    const end = async () => {
      await turns((round * 7) % 40);
      if (round % 3 === 0) await it.replica.actions.abort({ actionId: { run, name: parent } });
      else await cluster.succeed(lease);
    };
    const first = `${parent}-c`;
    await Promise.all([child(first, 0), child(`${parent}-d`, (round * 11) % 40), end()]);
  });
  await Promise.all(families);
  assert.deepEqual(await inconsistencies(it.database), []);
  const phases = Object.entries(await play.phases()).filter(([name]) => name.includes("-"));
  assert.equal(phases.length + late, 2 * rounds);
  assert.deepEqual([...new Set(phases.map(([, phase]) => phase))], phases.length > 0 ? ["ABORTED"] : []);
});
