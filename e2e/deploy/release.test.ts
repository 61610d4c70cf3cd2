/** The chart in a real cluster: control plane and executor as pods, and Python runs through them. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { needsCluster } from "@flyte-ts/platform/kubernetes/testing.ts";
import { needsHelm } from "../support/helm.ts";
import { type PythonClient, pythonClient } from "../support/python.ts";
import { installRelease, type Release } from "../support/release.ts";
import { actionsOf, detailsOf, outputsOf } from "../support/runs.ts";
import { waitFor } from "../support/wait.ts";
import { connectWire, type Wire } from "../support/wire.ts";

const needs = { skip: needsHelm().skip || needsCluster("node").skip };
let release: Release;
let wire: Wire;
let python: PythonClient;

if (!needs.skip) {
  release = await installRelease({ after });
  wire = connectWire(release.url);
  python = await pythonClient({ after }, () => release.url);
}

test("a Python run through both: children as pods of the tasks' namespace", needs, async () => {
  const [run = ""] = await python.submit("basics", { task: "fan_out", inputs: { n: 3 } });
  assert.deepEqual(await outputsOf(wire, run), [5]);
  const rows = await actionsOf(wire, run);
  assert.ok(rows.length > 3);
  for (const row of rows) {
    const { attempts } = await detailsOf(wire, run, row.name);
    assert.equal(attempts[0]?.cluster, "kube");
    assert.equal(attempts[0]?.logContext?.pods[0]?.namespace, release.tasks.namespace);
  }
});

test("two replicas of each are ready, and of the executors one leads", needs, async () => {
  for (const part of ["control-plane", "executor"]) {
    const text = await release.own.kubectl("get", "deployment", `test-flyte-ts-${part}`, "-o", "json");
    assert.equal(JSON.parse(text).status.readyReplicas, 2);
  }
  assert.ok(await leader());
});

test("the leading executor's pod goes: the other one takes over, and runs go on", needs, async () => {
  const before = await leader();
  await release.own.kubectl("delete", "pod", before.replace(/-\d+$/, ""), "--wait=false");
  await waitFor(async () => (await leader()) !== before, { what: "another leader" });
  const [run = ""] = await python.submit("basics", { task: "fan_out", inputs: { n: 2 } });
  assert.deepEqual(await outputsOf(wire, run), [1]);
});

test("an upgrade while a run goes on", needs, async () => {
  const [run = ""] = await python.submit("basics", { task: "fan_out", inputs: { n: 6 } });
  await release.upgrade({
    controlPlane: { config: { logs: { level: "debug" } } },
    executor: { config: { labels: { upgraded: "once" } } },
  });
  assert.deepEqual(await outputsOf(wire, run), [55]);
});

test("its rights were enough: nothing was refused", needs, async () => {
  const refused = (await release.log("executor")).split("\n").filter((line) => /forbidden/i.test(line));
  // Jobs of operators that the values do not name are none of its business, and it says so.
  const expected = (line: string) => line.includes('"whether the cluster runs a kind of job"');
  assert.deepEqual(
    refused.filter((line) => !expected(line)),
    [],
  );
});

test("uninstalled, nothing of the release is left but the tasks' namespace", needs, async () => {
  await release.uninstall();
  const kinds =
    "deployments,services,configmaps,secrets,roles,rolebindings,serviceaccounts,networkpolicies,poddisruptionbudgets";
  for (const { namespace } of [release.own, release.tasks]) {
    const left = await release.own.kubectl(...["get", kinds, "-o", "name", "--namespace", namespace]);
    assert.deepEqual(
      left.split("\n").filter((name) => name.includes("flyte-ts")),
      [],
    );
  }
  await release.own.kubectl("get", "namespace", release.tasks.namespace);
});

/** Who holds the lease: `<host name>-<process>`. */
async function leader(): Promise<string> {
  const path = ["get", "lease", "flyte-ts-executor-kube", "-o", "jsonpath={.spec.holderIdentity}"];
  return release.tasks.kubectl(...path);
}
