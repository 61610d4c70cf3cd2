/** What the next executor finds, and what it costs when the API server is away. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually, needsCluster, relayTo } from "@flyte-ts/platform/kubernetes/testing.ts";
import { amend, StaleRecordError } from "../executor/index.ts";
import { keyOf, leaseOf, sleepLease } from "../executor/testing/leases.ts";
import { scriptedControlPlane } from "../executor/testing/scripted-control-plane.ts";
import { executorOn } from "./testing/executor-on.ts";
import { storeCluster } from "./testing/store-cluster.ts";

const fresh = (lease: ReturnType<typeof leaseOf>) => ({
  key: keyOf(lease),
  lease,
  transitions: [],
  details: {},
  released: false,
});

test("the next store has the very records of the one before", needsCluster("api"), async (t) => {
  const { open } = await storeCluster(t);
  const lease = leaseOf({
    envs: { A: "1" },
    interruptible: false,
    serviceAccount: "sa",
    cacheKey: "k",
    shortName: "s",
  });
  const state = { pluginState: { pod: "x" }, transitions: [{ phase: "running", at: new Date(5000) }] as const };
  {
    await using store = open();
    const made = await store.create({ ...fresh(lease), ...state });
    await store.update({ ...made, lease: { ...lease, epoch: 2n }, ending: { phase: "aborted", reason: "enough" } });
  }
  await using store = open();
  const [read, ...others] = await store.list();
  assert.deepEqual(others, []);
  const expected = { ...fresh(lease), ...state, lease: { ...lease, epoch: 2n } };
  assert.deepEqual(
    { ...read, version: "" },
    { ...expected, ending: { phase: "aborted", reason: "enough" }, version: "" },
  );
});

test("a large template is kept outside, checked when it is read, and removed", needsCluster("api"), async (t) => {
  const { open, objectStore, only } = await storeCluster(t);
  const large = (name: string) =>
    leaseOf({ name, taskType: "endless", template: { config: { blob: "x".repeat(100_000) } } });
  const uri = (name: string) => `s3://flyte-data/p/development/r1/${name}/1/task-spec.pb`;
  {
    await using store = open();
    for (const name of ["kept", "changed", "lost"]) await store.create(fresh(large(name)));
    await objectStore.put(uri("changed"), new Uint8Array(large("changed").taskSpec.length));
    await objectStore.delete([uri("lost")]);
  }
  await using store = open();
  const records = new Map((await store.list()).map((record) => [record.lease.ref?.name, record]));
  assert.deepEqual(records.get("kept")?.lease, large("kept"));
  const why = (name: string) => records.get(name)?.ending?.reason ?? "";
  assert.match(why("changed"), /changed\/1\/task-spec\.pb is not what it was: its SHA-256 is/);
  assert.match(why("lost"), /lost\/1\/task-spec\.pb does not exist/);
  for (const name of ["changed", "lost"]) await store.delete(keyOf(large(name)));
  const { spec } = await only();
  assert.equal(spec.taskTemplate, undefined);
  assert.equal(spec.taskTemplateRef?.size, large("kept").taskSpec.length);
  await store.delete(keyOf(large("kept")));
  assert.equal(await objectStore.head(uri("kept")), undefined);
});

test("two executors of one cluster: the one that knows less is refused", needsCluster("api"), async (t) => {
  const { open, only } = await storeCluster(t);
  await using first = open();
  await using second = open();
  await second.list();
  const made = await first.create(fresh(leaseOf()));
  const other = await second.create(fresh(leaseOf()));
  await first.update({ ...made, pluginState: { by: "first" } });
  await assert.rejects(second.update({ ...other, pluginState: { by: "second" } }), StaleRecordError);
  await amend(second, other.key, (current) => ({
    ...current,
    pluginState: { ...current.pluginState, also: "second" },
  }));
  await eventually(async () => (await first.get(made.key))?.pluginState?.also === "second");
  assert.deepEqual((await first.get(made.key))?.pluginState, { by: "first", also: "second" });
  await second.delete(made.key);
  await assert.rejects(only());
});

test(
  "an executor that is started again goes on, and removes what has ended meanwhile",
  needsCluster("api"),
  async (t) => {
    const { store, objectStore, stored } = await storeCluster(t);
    const plane = scriptedControlPlane();
    const [goes, withdrawn] = ["goes", "withdrawn"].map((name) => leaseOf({ name, taskType: "endless" }));
    assert.ok(goes && withdrawn);
    {
      await using run = executorOn(store(), objectStore, plane);
      for (const lease of [goes, withdrawn]) plane.lease(lease);
      await Promise.all([goes, withdrawn].map((lease) => run.phase(keyOf(lease), "RUNNING")));
    }
    plane.withdraw(keyOf(withdrawn));
    await using run = executorOn(store(), objectStore, plane);
    await eventually(async () => (await stored()).length === 1);
    assert.deepEqual(
      run.endings.map(([key, { phase }]) => [key, phase]),
      [[keyOf(withdrawn), "dropped"]],
    );
    plane.abort(goes);
    await run.released(keyOf(goes));
  },
);

test("an API server that is away costs nothing but patience", needsCluster("api"), async (t) => {
  const { store, objectStore, kubeconfig, stored } = await storeCluster(t);
  const relay = await relayTo(t, kubeconfig);
  const opened = store({ client: relay.client });
  await using run = executorOn(opened, objectStore);
  const running = leaseOf({ name: "running", taskType: "endless" });
  const sleeping = Array.from({ length: 5 }, (_, index) => sleepLease(`s${index}`, 10));
  run.plane.lease(running);
  await run.phase(keyOf(running), "RUNNING");
  relay.close();
  for (const lease of sleeping) run.plane.lease(lease);
  run.plane.abort(running);
  // Tried more often than a plugin may throw.
  const away = Promise.withResolvers<void>();
  setTimeout(away.resolve, 4_000);
  await away.promise;
  assert.equal(
    sleeping.some((lease) => run.plane.told(keyOf(lease)).reports.length > 0),
    false,
  );
  relay.open();
  for (const lease of sleeping) assert.deepEqual((await run.released(keyOf(lease))).phases, ["RUNNING", "SUCCEEDED"]);
  assert.deepEqual((await run.released(keyOf(running))).phases, ["RUNNING", "ABORTED"]);
  await eventually(async () => (await stored()).length === 0);
});
