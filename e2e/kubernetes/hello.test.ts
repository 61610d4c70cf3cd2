/** Python tasks as real pods: a parent whose children are pods, files through the S3 endpoint, logs, and nothing left. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { needsCluster } from "@flyte-ts/platform/kubernetes/testing.ts";
import { type KubernetesStage, setKubernetesStage } from "../support/kubernetes-stage.ts";
import { actionsOf, detailsOf, ended, errorOf, logOf, outputsOf } from "../support/runs.ts";
import { waitFor } from "../support/wait.ts";

const needs = needsCluster("node");
let stage: KubernetesStage;
let runs: Record<"fanOut" | "files" | "failing", string>;

if (!needs.skip) {
  stage = await setKubernetesStage({ after });
  const [fanOut = "", failing = ""] = await stage.python.submit(
    "basics",
    { task: "fan_out", inputs: { n: 4 } },
    { task: "failing", inputs: { message: "no luck ✨" } },
  );
  const [files = ""] = await stage.python.submit("data", {
    task: "files",
    inputs: { file: { "@file": "grüße ✨\n", "@name": "größe 1.txt" } },
  });
  runs = { fanOut, files, failing };
}

test("a parent and its children are pods of the cluster", needs, async () => {
  assert.deepEqual(await outputsOf(stage.wire, runs.fanOut), [14]);
  const rows = await actionsOf(stage.wire, runs.fanOut);
  assert.equal(rows.filter((row) => row.task === "basics.square").length, 4);
  for (const row of rows) {
    assert.equal(row.phase, "SUCCEEDED");
    assert.equal(row.attempts, 1);
    const { attempts } = await detailsOf(stage.wire, runs.fanOut, row.name);
    assert.equal(attempts[0]?.cluster, "kube");
    const context = attempts[0]?.logContext;
    assert.equal(context?.pods[0]?.namespace, stage.cluster.namespace);
    assert.ok(context?.primaryPodName);
  }
});

test("files and folders go from pod to pod through the S3 endpoint", needs, async () => {
  assert.deepEqual(await outputsOf(stage.wire, runs.files), ["GRÜSSE ✨\n", 10]);
});

test("a user's exception in a pod is the run's error", needs, async () => {
  assert.equal(await ended(stage.wire, runs.failing), "FAILED");
  const error = await errorOf(stage.wire, runs.failing);
  assert.equal(error?.code, "ValueError");
  assert.equal(error?.kind, "USER");
  assert.match(error?.message ?? "", /no luck ✨/);
});

test("logs are there after the pods are gone, and nothing of the runs is left in the cluster", needs, async () => {
  await ended(stage.wire, runs.fanOut);
  await waitFor(async () => (await stage.names("taskactions")).length === 0, { what: "the end of all TaskActions" });
  await waitFor(async () => (await stage.names("pods")).length === 0, { what: "the end of all pods" });
  assert.deepEqual(await stage.names("secrets"), []);
  const nothing = (await actionsOf(stage.wire, runs.fanOut)).find((row) => row.task === "basics.nothing");
  const lines = await logOf(stage.wire, runs.fanOut, nothing?.name);
  assert.ok(lines.includes("did nothing"), lines.join("\n"));
});
