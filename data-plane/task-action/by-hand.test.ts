/** What people do to the objects: deletions abort, nonsense fails its attempt alone, strangers are left alone. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually, needsCluster } from "@flyte-ts/platform/kubernetes/testing.ts";
import { keyOf, leaseOf, sleepLease } from "../executor/testing/leases.ts";
import type { TaskAction } from "./index.ts";
import { taskActionFinalizer } from "./task-action.ts";
import { executorOn } from "./testing/executor-on.ts";
import { storeCluster } from "./testing/store-cluster.ts";

const endless = (name = "a0", parts = {}) => leaseOf({ name, taskType: "endless", ...parts });

test("kubectl delete taskaction aborts the attempt", needsCluster("api"), async (t) => {
  const { store, objectStore, stored, kubectl, only } = await storeCluster(t);
  await using run = executorOn(store(), objectStore);
  const lease = endless();
  run.plane.lease(lease);
  await run.phase(keyOf(lease), "RUNNING");
  const { name, namespace } = (await only()).metadata;
  // Returns when the object is gone, which the finalizer prevents until the work has ended.
  await kubectl("delete", "taskaction", name);
  const told = await run.released(keyOf(lease));
  assert.deepEqual(told.phases, ["RUNNING", "ABORTED"]);
  const reason = `its TaskAction ${namespace}/${name} was deleted by hand`;
  assert.deepEqual(run.endings, [[keyOf(lease), { phase: "aborted", reason }]]);
  assert.equal(told.reports.at(-1)?.abortReason, reason);
  assert.deepEqual(await stored(), []);
});

test("a deletion while no executor runs aborts when the next one starts", needsCluster("api"), async (t) => {
  const { store, open, objectStore, kubectl, only } = await storeCluster(t);
  const lease = endless();
  {
    await using first = open();
    await first.create({ key: keyOf(lease), lease, transitions: [], details: {}, released: false });
  }
  await kubectl("delete", "taskaction", (await only()).metadata.name, "--wait=false");
  await using run = executorOn(store(), objectStore);
  run.plane.lease(lease);
  const { phases, reports } = await run.released(keyOf(lease));
  assert.deepEqual(phases, ["ABORTED"]);
  assert.match(reports.at(-1)?.abortReason ?? "", /was deleted by hand/);
});

test("an object torn away from its finalizer or its label still ends the attempt", needsCluster("api"), async (t) => {
  const { store, objectStore, actions, namespace, stored } = await storeCluster(t);
  await using run = executorOn(store(), objectStore);
  const [torn, unlabelled] = [endless("torn"), endless("unlabelled")];
  for (const lease of [torn, unlabelled]) run.plane.lease(lease);
  await Promise.all([torn, unlabelled].map((lease) => run.phase(keyOf(lease), "RUNNING")));
  await actions.patch("r1-torn-7-0", { metadata: { finalizers: null } }, { namespace });
  await actions.delete("r1-torn-7-0", { namespace });
  await actions.patch("r1-unlabelled-7-0", { metadata: { labels: { "flyte.org/cluster": "west" } } }, { namespace });
  for (const lease of [torn, unlabelled]) {
    assert.deepEqual((await run.released(keyOf(lease))).phases, ["RUNNING", "ABORTED"]);
  }
  await eventually(async () => (await stored()).length === 0);
});

test(
  "a spec that was made unreadable fails its attempt, with the reason, and no other",
  needsCluster("api"),
  async (t) => {
    const { store, objectStore, actions, namespace, stored } = await storeCluster(t);
    await using run = executorOn(store({ endDelayMs: 0 }), objectStore);
    const [spoiled, edited, good] = [endless("spoiled"), endless("edited"), endless("good")];
    for (const lease of [spoiled, edited, good]) run.plane.lease(lease);
    await Promise.all([spoiled, edited, good].map((lease) => run.phase(keyOf(lease), "RUNNING")));
    run.plane.reportsFail = true;
    const garbage = Buffer.from([0xff, 0xff]).toString("base64");
    await actions.patch("r1-spoiled-7-0", { spec: { taskTemplate: garbage } }, { namespace });
    await eventually(async () => {
      const { status } = await actions.get("r1-spoiled-7-0", { namespace });
      return status?.conditions?.some((one) => one.type === "Failed" && one.reason === "InvalidSpec");
    });
    run.plane.reportsFail = false;
    const { phases, error } = await run.released(keyOf(spoiled));
    assert.deepEqual(phases, ["RUNNING", "FAILED"]);
    assert.equal(error?.code, "InvalidSpec");
    assert.match(error?.message ?? "", /r1-spoiled-7-0 cannot be read, somebody changed it: spec\.taskTemplate/);
    await actions.patchStatus("r1-edited-7-0", { status: { pluginState: garbage } }, { namespace });
    assert.match((await run.released(keyOf(edited))).error?.message ?? "", /status\.pluginState/);
    assert.deepEqual(run.plane.told(keyOf(good)).phases, ["RUNNING"]);
    assert.deepEqual(run.endings.map(([key]) => key).sort(), [keyOf(edited), keyOf(spoiled)]);
    await eventually(async () => (await stored()).length === 1);
  },
);

test("what somebody changed sensibly is taken over", needsCluster("api"), async (t) => {
  const { open, actions, namespace } = await storeCluster(t);
  await using store = open();
  const lease = endless();
  const made = await store.create({ key: keyOf(lease), lease, transitions: [], details: {}, released: false });
  const changed = store.changes(AbortSignal.timeout(60_000))[Symbol.asyncIterator]();
  await actions.patch("r1-a0-7-0", { spec: { envVars: { MORE: "1" } } }, { namespace });
  assert.deepEqual(await changed.next(), { value: made.key, done: false });
  const now = await store.get(made.key);
  assert.deepEqual(now?.lease.envs, { MORE: "1" });
  assert.notEqual(now?.version, made.version);
  await changed.return?.();
});

test("copies are told that they are none, once, and can be deleted", needsCluster("api"), async (t) => {
  const { store, objectStore, actions, namespace, only, kubectl } = await storeCluster(t);
  const opened = store();
  await using run = executorOn(opened, objectStore);
  const lease = endless();
  run.plane.lease(lease);
  await run.phase(keyOf(lease), "RUNNING");
  const { metadata, spec } = await only();
  const { labels } = metadata;
  const copy: TaskAction = {
    apiVersion: "flyte.org/v1",
    kind: "TaskAction",
    metadata: { name: "copy", namespace, ...(labels && { labels }), finalizers: [taskActionFinalizer] },
    spec,
  };
  await actions.create(copy);
  await eventually(async () => {
    const { status } = await actions.get("copy", { namespace });
    return status?.conditions?.[0]?.reason === "InvalidSpec";
  });
  const told = await actions.get("copy", { namespace });
  assert.match(told.status?.conditions?.[0]?.message ?? "", /names the attempt of TaskAction r1-a0-7-0/);
  await kubectl("delete", "taskaction", "copy");
  assert.deepEqual(run.plane.told(keyOf(lease)).phases, ["RUNNING"]);
  assert.equal((await opened.list()).length, 1);
});

test(
  "objects of another cluster's executor are not touched, and their names not taken",
  needsCluster("api"),
  async (t) => {
    const { store, open, objectStore, only } = await storeCluster(t);
    await using west = open({ cluster: "west" });
    const lease = sleepLease("a0", 1);
    await west.create({ key: keyOf(lease), lease, transitions: [], details: {}, released: false });
    await using run = executorOn(store(), objectStore);
    run.plane.lease(lease);
    const { error } = await run.released(keyOf(lease));
    assert.equal(error?.code, "NameTaken");
    assert.match(error?.message ?? "", /cluster "west"'s/);
    assert.equal((await only()).spec.cluster, "west");
    assert.equal((await west.list()).length, 1);
  },
);
