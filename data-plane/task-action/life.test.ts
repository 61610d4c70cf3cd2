/** The life of an action through its object: what it costs, what is seen of it, and that nothing stays. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { eventually, needsCluster } from "@flyte-ts/platform/kubernetes/testing.ts";
import { keyOf, leaseOf, sleepLease } from "../executor/testing/leases.ts";
import { executorOn } from "./testing/executor-on.ts";
import { storeCluster } from "./testing/store-cluster.ts";

test("a sleep takes four calls, and nothing of it stays", needsCluster("api"), async (t) => {
  const { store, objectStore, countingClient, stored } = await storeCluster(t);
  const calls: string[] = [];
  const client = await countingClient(({ verb, resource }) => calls.push(`${verb} ${resource}`));
  const opened = store({ client });
  await using run = executorOn(opened, objectStore);
  const leases = Array.from({ length: 50 }, (_, index) => sleepLease(`s${index}`, 20));
  for (const lease of leases) run.plane.lease(lease);
  for (const lease of leases) {
    assert.deepEqual((await run.released(keyOf(lease))).phases, ["RUNNING", "SUCCEEDED"]);
  }
  await eventually(async () => (await opened.list()).length === 0);
  assert.deepEqual(await stored(), []);
  const writes = calls.filter((call) => !/^(list|watch) /.test(call));
  const times = Object.groupBy(writes, (call) => call);
  assert.deepEqual(Object.fromEntries(Object.entries(times).map(([call, made]) => [call, (made?.length ?? 0) / 50])), {
    "create taskactions": 1,
    "update taskactions/status": 1,
    "patch taskactions": 1,
    "delete taskactions": 1,
  });
});

test("what runs and what has ended is seen by kubectl and by label", needsCluster("api"), async (t) => {
  const { store, objectStore, only, kubectl, namespace } = await storeCluster(t);
  const opened = store({ endDelayMs: 0 });
  await using run = executorOn(opened, objectStore);
  const lease = leaseOf({
    taskType: "endless",
    labels: { team: "blue", "flyte.org/project": "forged", "not/a/key": "x" },
    annotations: { note: "any text" },
  });
  run.plane.lease(lease);
  await run.phase(keyOf(lease), "RUNNING");
  const running = await only();
  assert.equal(running.metadata.name, "r1-a0-7-0");
  assert.deepEqual(running.metadata.labels, {
    team: "blue",
    "not/a-key": "x",
    "flyte.org/project": "p",
    "flyte.org/domain": "development",
    "flyte.org/run": "r1",
    "flyte.org/action": "a0",
    "flyte.org/action-type": "task",
    "flyte.org/is-root": "true",
    "flyte.org/cluster": "east",
  });
  assert.deepEqual(running.metadata.annotations, { note: "any text" });
  assert.deepEqual(
    [running.status?.phase, running.status?.attempts, running.status?.conditions?.[0]?.reason],
    ["running", 1, "Executing"],
  );
  const { name, uid } = running.metadata;
  assert.deepEqual(opened.ownerOf(keyOf(lease)), {
    apiVersion: "flyte.org/v1",
    kind: "TaskAction",
    name,
    uid,
    controller: true,
    blockOwnerDeletion: true,
  });
  assert.equal(opened.ownerOf("7/other/1"), undefined);
  assert.match(await kubectl("get", "taskactions"), /r1-a0-7-0\s+r1\s+a0\s+endless\s+running/);
  // The control plane hears nothing for a while: the end is seen in the cluster meanwhile.
  run.plane.reportsFail = true;
  run.plane.abort(lease, "a test is enough");
  await kubectl("wait", "--for=condition=Failed", "taskaction/r1-a0-7-0", "--timeout=60s");
  await eventually(async () => (await only()).metadata.labels?.["flyte.org/termination-status"] === "terminated");
  const ended = await only();
  assert.match(ended.metadata.labels?.["flyte.org/completed-time"] ?? "", /^\d{4}-\d\d-\d\d\.\d\d-\d\d$/);
  assert.equal(ended.status?.released, true);
  assert.deepEqual(ended.status?.ending, { phase: "aborted", reason: "a test is enough" });
  run.plane.reportsFail = false;
  await run.released(keyOf(lease));
  await eventually(async () => (await kubectl("get", "taskactions", "-n", namespace)).trim() === "");
});

test("a new attempt never meets what is left of an older one", needsCluster("api"), async (t) => {
  const { store, objectStore, stored } = await storeCluster(t);
  await using run = executorOn(store(), objectStore);
  const [first, second] = [1, 2].map((attempt) => leaseOf({ taskType: "endless", attempt }));
  assert.ok(first && second);
  run.plane.lease(first);
  run.plane.lease(second);
  await Promise.all([first, second].map((lease) => run.phase(keyOf(lease), "RUNNING")));
  const names = (await stored()).map(({ metadata }) => metadata.name);
  assert.deepEqual(names.sort(), ["r1-a0-7-0", "r1-a0-7-1"]);
  for (const lease of [first, second]) run.plane.abort(lease);
  await Promise.all([first, second].map((lease) => run.released(keyOf(lease))));
});

test("a namespace that nobody makes fails the attempt", needsCluster("api"), async (t) => {
  const { store, objectStore } = await storeCluster(t);
  await using run = executorOn(store({ namespaceFor: () => "nowhere-at-all" }), objectStore);
  const lease = sleepLease("a", 1);
  run.plane.lease(lease);
  const { error } = await run.released(keyOf(lease));
  assert.equal(error?.code, "NamespaceNotFound");
  assert.match(error?.message ?? "", /namespaces "nowhere-at-all" not found; create the namespace/);
});

test("what would be too large fails and says what is", needsCluster("api"), async (t) => {
  const { store, objectStore, stored } = await storeCluster(t);
  await using run = executorOn(store(), objectStore);
  const large = sleepLease("large", 1, { envs: { DATA: "x".repeat(2 << 20) } });
  const strange = sleepLease("strange", 1, { taskType: "t".repeat(70) });
  run.plane.lease(large);
  run.plane.lease(strange);
  const { error } = await run.released(keyOf(large));
  assert.equal(error?.code, "TaskActionTooLarge");
  assert.match(error?.message ?? "", /its environment variables 2097\d\d\d, .* pass what is large as inputs or files/);
  const refused = (await run.released(keyOf(strange))).error;
  assert.equal(refused?.code, "InvalidSpec");
  assert.match(refused?.message ?? "", /spec\.taskType/);
  assert.deepEqual(await stored(), []);
});
