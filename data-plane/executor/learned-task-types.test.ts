/** Plugins that learn their task types while the executor runs. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { executor, memoryActionStore, type Plugin } from "./index.ts";
import { silentLog } from "./log.ts";
import { pluginTable } from "./plugin.ts";
import { keyOf, leaseOf } from "./testing/leases.ts";
import { scriptedControlPlane } from "./testing/scripted-control-plane.ts";

/** Succeeds at once, under its name. */
function quick(name: string, taskTypes: readonly string[]): Plugin & { ran: string[] } {
  const ran: string[] = [];
  return {
    ran,
    taskTypes,
    reconcile(context) {
      ran.push(context.lease.taskType);
      return { transitions: [{ phase: "succeeded", at: context.now, outputUri: `s3://b/${name}` }], released: true };
    },
    abort: () => ({ released: true }),
  };
}

function learner(taskTypes: string[] = []) {
  let known = false;
  const listeners: (() => void)[] = [];
  const plugin = {
    ...quick("learner", []),
    get taskTypes() {
      return taskTypes;
    },
    learnsTaskTypes: {
      get known() {
        return known;
      },
      onChange: (changed: () => void) => void listeners.push(changed),
    },
  };
  return {
    plugin,
    learn(types: string[]) {
      taskTypes = types;
      known = true;
      for (const changed of listeners) changed();
    },
  };
}

function start(plugins: Plugin[]) {
  const plane = scriptedControlPlane();
  const stop = new AbortController();
  const done = executor({
    cluster: "embedded",
    link: plane.link,
    store: memoryActionStore(),
    plugins,
    log: silentLog,
    slots: 2,
    // A new connection that waited for this would never come.
    backoff: { firstMs: 3_600_000, maxMs: 3_600_000 },
  }).run(stop.signal);
  return {
    plane,
    async [Symbol.asyncDispose]() {
      stop.abort();
      await done;
    },
  };
}

test("learned types are told to the control plane at once, by a new connection", async () => {
  const { plugin, learn } = learner();
  await using run = start([quick("named", ["python"]), plugin]);
  await run.plane.until(() => run.plane.requests.length === 1);
  assert.deepEqual(run.plane.requests[0]?.taskTypes, ["python"]);
  learn(["bigquery", "python"]);
  await run.plane.until(() => run.plane.requests.length === 2);
  assert.deepEqual(run.plane.requests[1]?.taskTypes, ["python", "bigquery"]);
});

test("while types are still to be learned nobody takes what no plugin names", async () => {
  const { plugin, learn } = learner();
  const rest = quick("rest", ["*"]);
  const named = quick("named", ["python"]);
  await using run = start([rest, named, plugin]);
  const [mine, other, python] = ["bigquery", "mystery", "python"].map((type) =>
    leaseOf({ name: type, taskType: type }),
  );
  assert.ok(mine && other && python);
  for (const lease of [mine, other, python]) run.plane.lease(lease);
  await run.plane.until(() => run.plane.told(keyOf(python)).released);
  assert.deepEqual([rest.ran, plugin.ran], [[], []]);
  learn(["bigquery"]);
  await run.plane.until(() => run.plane.told(keyOf(mine)).released && run.plane.told(keyOf(other)).released);
  assert.deepEqual([rest.ran, named.ran, plugin.ran], [["mystery"], ["python"], ["bigquery"]]);
});

test("a named type stays with the plugin that names it; a learned one with the plugin that first took it", () => {
  const named = quick("named", ["python", "*"]);
  const { plugin, learn } = learner(["python", "bigquery"]);
  const table = pluginTable([plugin, named]);
  learn(["python", "bigquery"]);
  assert.equal(table("python"), named);
  assert.equal(table("bigquery"), plugin);
  learn([]);
  assert.equal(table("bigquery"), plugin);
  assert.equal(table("other"), named);
});
