import assert from "node:assert/strict";
import test from "node:test";
import { routeClass, taskNeeds } from "@flyte-ts/core";
import { clusterRegistry } from "./cluster-registry.ts";
import { connectedClusters } from "./connected-clusters.ts";
import { engine, eventually, queueRows, task } from "./testing.ts";

const sleep = (name: string) => task(name, { type: "core-sleep" });

const pending = async (it: Awaited<ReturnType<typeof engine>>) =>
  [...(await queueRows(it.database)).values()].filter(({ state }) => state === 0);

test("what needs no slot is leased by the transaction that enqueues it, once each", async (t) => {
  const it = await engine(t);
  const cluster = await it.cluster({ slots: 0 });
  const run = await it.replica.play.run(sleep("parent"));
  await cluster.start(await cluster.leased(run, "a0"));
  const names = Array.from({ length: 100 }, (_, i) => `c${i}`);
  await Promise.all(names.map((name) => it.replica.play.child(run, name, sleep("child"))));
  // The answer to an enqueue comes after its commit: nothing can be pending any more.
  assert.deepEqual(await pending(it), []);
  for (const name of names) await cluster.succeed(await cluster.leased(run, name));
  const leased = cluster.leases.map(({ ref }) => ref?.name);
  assert.equal(new Set(leased).size, leased.length);
});

test("an executor that left is not leased to; the next one gets what waits", async (t) => {
  const it = await engine(t);
  const first = await it.cluster({ slots: 0 });
  await first.close();
  const run = await it.replica.play.run(sleep("alone"));
  assert.equal((await pending(it)).length, 1);
  const second = await it.cluster({ slots: 0 });
  await second.succeed(await second.leased(run, "a0"));
  await eventually(async () => (await queueRows(it.database)).size === 0);
});

test("the least loaded of the clusters that may take it is served, in turn when they are alike", () => {
  const wanted = routeClass("core-sleep", taskNeeds(task("nap")), { queue: "", pool: "", selector: "" });
  const served: string[] = [];
  const loads: Record<string, number> = { a: 0, b: 0, c: 0 };
  const sql = { query: async () => ({ rows: [], rowCount: 0 }) };
  const registry = { ...clusterRegistry({ database: sql }), mayTake: (name: string) => name !== "c" };
  const clusters = connectedClusters(registry);
  const add = (name: string) =>
    clusters.add({
      admission: { cluster: name, session: 1n },
      load: () => loads[name] ?? 0,
      deliver: () => void served.push(name),
    });
  const leave = add("a");
  add("b");
  add("c");
  for (let i = 0; i < 3; i++) clusters.lease(sql, [wanted], 1)?.deliver([]);
  loads.b = 5;
  clusters.lease(sql, [wanted], 1)?.deliver([]);
  leave();
  clusters.lease(sql, [wanted], 1)?.deliver([]);
  assert.deepEqual(served, ["a", "b", "a", "a", "b"]);
});
