/** Tasks of the Python SDK that are containers of any image: files and values in and out, through our own image. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { needsCluster, testCluster } from "@flyte-ts/platform/kubernetes/testing.ts";
import { type KubernetesStage, setKubernetesStage } from "../support/kubernetes-stage.ts";
import { childrenOf, ended, errorOf, logOf, outputsOf } from "../support/runs.ts";
import { serverImage } from "../support/server-image.ts";
import { waitFor } from "../support/wait.ts";

const needs = needsCluster("node");
let stage: KubernetesStage;
let runs: Record<"around" | "names" | "broken", string>;

if (!needs.skip) {
  const cluster = await testCluster({ after }, { mode: "node" });
  const image = await serverImage();
  await cluster.importImage(image);
  stage = await setKubernetesStage({ after }, { cluster, executor: { config: { pods: { copilotImage: image.ref } } } });
  const [around = "", names = "", broken = ""] = await stage.python.submit(
    "raw",
    { task: "around" },
    { task: "names", inputs: { table: { "@file": "a\nb\n", "@name": "größe 1.csv" } } },
    { task: "broken" },
  );
  runs = { around, names, broken };
}

test("a Python task calls a container with files and folders, and reads those that it made", needs, async () => {
  assert.deepEqual(await outputsOf(stage.wire, runs.around), [
    1,
    "three\n",
    ["größe.txt: ähm1\nähm2\n", "name.txt: ähmthree\n"],
    "said ähm true in ähm\n",
  ]);
  const [child, ...others] = await childrenOf(stage.wire, runs.around);
  assert.equal(child?.task, "count");
  assert.deepEqual(others, []);
  assert.deepEqual(await logOf(stage.wire, runs.around, child.name), [
    "[flyte-copilot-download] 4 inputs are in /var/inputs",
    "said ähm true in ähm",
    "[flyte-copilot-upload] the task ended with exit code 0; stored: outputs",
  ]);
});

test("a file from the user's machine comes with its name", needs, async () => {
  assert.deepEqual(await outputsOf(stage.wire, runs.names), ["größe 1.csv\n", 2]);
});

test("the container's exit code and last words are the run's error", needs, async () => {
  assert.equal(await ended(stage.wire, runs.broken), "FAILED");
  const error = await errorOf(stage.wire, runs.broken);
  assert.deepEqual([error?.code, error?.kind], ["ExitCode3", "USER"]);
  assert.match(error?.message ?? "", /no luck/);
});

test("nothing of the runs is left in the cluster", needs, async () => {
  for (const run of Object.values(runs)) await ended(stage.wire, run);
  for (const kind of ["taskactions", "pods", "secrets"] as const) {
    await waitFor(async () => (await stage.names(kind)).length === 0, { what: `the end of all ${kind}` });
  }
});
