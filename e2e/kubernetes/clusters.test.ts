/**
 * Two Kubernetes clusters and the embedded one behind one control plane: where actions go, what draining does, what
 * explains a wait, and what becomes of work whose cluster is cut off for longer than its lease.
 */
import assert from "node:assert/strict";
import { rm, writeFile } from "node:fs/promises";
import { createServer, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { after, test } from "node:test";
import type { TaskSpec } from "@flyte-ts/contract/flyteidl2/task/task_definition_pb.ts";
import { CLUSTER_SELECTOR, phaseName } from "@flyte-ts/core";
import { needsCluster, testCluster } from "@flyte-ts/platform/kubernetes/testing.ts";
import { startExecutor } from "../support/executor.ts";
import { type KubernetesStage, setKubernetesStage } from "../support/kubernetes-stage.ts";
import { nap, placedRun } from "../support/naps.ts";
import { podTask, sharing } from "../support/pod-runs.ts";
import { detailsOf, ended, outputsOf, phaseOf } from "../support/runs.ts";
import { waitFor } from "../support/wait.ts";
import { runId } from "../support/wire.ts";

const needs = { skip: needsCluster("node").skip || needsCluster("kwok").skip };
const hour = 3_600_000;
let stage: KubernetesStage;

if (!needs.skip) {
  const [onNode, fake] = await Promise.all([
    setKubernetesStage(
      { after },
      {
        server: { env: { FLYTE_TS_CLUSTERS_LEASE_SECONDS: "6", FLYTE_TS_CLUSTERS_HEARTBEAT_SECONDS: "0.5" } },
        executor: { config: { labels: { region: "eu", pods: "real" }, capacity: { cpu: 8 } } },
      },
    ),
    testCluster({ after }, { mode: "kwok" }),
  ]);
  stage = onNode;
  await startExecutor(
    { after },
    {
      cluster: fake,
      name: "play",
      controlPlane: stage.server.url,
      config: { queues: ["naps"], labels: { region: "us", pods: "fake" }, capacity: { accelerators: ["T4"] } },
    },
  );
  await waitFor(async () => (await stage.clusterCommand("list")).includes("play"), { what: "play, to register" });
  await stage.clusterCommand("resume", "embedded");
}

/** Where the attempts of a run's root were, and what became of each. */
async function placesOf(run: string): Promise<string[]> {
  const { attempts } = await detailsOf(stage.wire, run);
  return attempts.map(({ cluster, phase }) => `${cluster} ${phaseName(phase)}`);
}

const selecting = (labels: string) => ({ annotations: { values: { [CLUSTER_SELECTOR]: labels } } });
const cpu = (value: string): TaskSpec =>
  nap(0, { target: { case: "container", value: { image: "x", resources: { requests: [{ name: 1, value }] } } } });
const t4 = nap(0, { extendedResources: { gpuAccelerator: { device: "T4" } } });

test("actions go where their queue, task type, needs and labels say", needs, async () => {
  const { wire } = stage;
  const orders: [what: string, where: RegExp, run: Promise<string>][] = [
    ["nothing asked: not to one that keeps lanes", /^(embedded|kube) /, placedRun(wire, nap())],
    ["a queue that one cluster serves", /^play /, placedRun(wire, nap(), { queue: "naps" })],
    ["the name of a cluster as queue", /^kube /, placedRun(wire, nap(), { queue: "kube" })],
    ["the run's cluster pool", /^embedded /, placedRun(wire, nap(), { clusterPool: "embedded" })],
    ["a task type that one names and another takes as any", /^kube /, placedRun(wire, podTask("true"))],
    ["more CPU than the other has for one action", /^embedded /, placedRun(wire, cpu("9"))],
    ["a device that one cluster has", /^play /, placedRun(wire, t4)],
    ["a label with its value", /^kube /, placedRun(wire, nap(), selecting("region=eu"))],
    ["a label with any value, of two the one without lanes", /^kube /, placedRun(wire, nap(), selecting("pods"))],
    ["queue and labels together", /^play /, placedRun(wire, nap(), { queue: "naps", ...selecting("region=us") })],
  ];
  const seen = await Promise.all(
    orders.map(async ([what, where, made]) => {
      const run = await made;
      assert.equal(await ended(wire, run), "SUCCEEDED", what);
      const places = (await placesOf(run)).join(", ");
      return where.test(places) ? [] : [`${what}: ${places}`];
    }),
  );
  assert.deepEqual(seen.flat(), []);
});

test("what runs on a drained cluster goes on, what is new waits for it, and it comes back", needs, async () => {
  const { wire, clusterCommand, shared } = stage;
  const gate = join(shared, "drained");
  const waits = podTask(`while [ ! -e ${gate} ]; do sleep 0.1; done`, sharing(shared));
  const running = await placedRun(wire, waits);
  await waitFor(async () => (await phaseOf(wire, running)) === "RUNNING", { what: "a pod on kube" });

  const drained = await clusterCommand("drain", "kube", "--reason", "new nodes");
  assert.equal(drained, "kube is given nothing new; 1 action that it has goes on\n");
  const [bound, free] = await Promise.all([
    placedRun(wire, nap(), { queue: "kube" }),
    placedRun(wire, nap(), selecting("pods")),
  ]);
  assert.equal(await ended(wire, free), "SUCCEEDED");
  assert.deepEqual(await placesOf(free), ["play SUCCEEDED"]);
  const [listed, shown, explained] = await Promise.all([
    clusterCommand("list"),
    clusterCommand("show", "kube"),
    clusterCommand("explain", bound),
  ]);
  assert.match(listed, /^kube +draining +kubernetes +1\/1000 +1 +0 +/m);
  assert.match(shown, /^executor +\S+, \d+\.\d+\.\d+$/m);
  assert.match(shown, /^state +draining \(new nodes\)$/m);
  assert.match(shown, /^labels +pods=real, region=eu$/m);
  assert.match(shown, /^largest action +8 CPU$/m);
  assert.match(explained, /^no cluster may take this core-sleep action\n/);
  assert.match(explained, /^kube +no +is draining: new nodes$/m);
  assert.match(
    explained,
    /^embedded +no +the action is bound to kube, which only kube serves; it serves no named queue$/m,
  );

  await writeFile(gate, "");
  assert.equal(await ended(wire, running), "SUCCEEDED");
  assert.deepEqual(await placesOf(running), ["kube SUCCEEDED"]);
  assert.equal(await phaseOf(wire, bound), "QUEUED");
  assert.equal(await clusterCommand("resume", "kube"), "kube takes actions again\n");
  assert.equal(await ended(wire, bound), "SUCCEEDED");
  assert.deepEqual(await placesOf(bound), ["kube SUCCEEDED"]);
  await rm(gate);
});

test("an action that no cluster can take is told why by each", needs, async () => {
  const { wire, clusterCommand } = stage;
  const run = await placedRun(wire, cpu("9"), selecting("region=mars"));
  assert.equal(
    (await clusterCommand("explain", `${run}/a0`)).replaceAll(/ +$/gm, ""),
    [
      "no cluster may take this core-sleep action",
      "",
      "CLUSTER   MAY TAKE IT  BECAUSE",
      "embedded  no           has no label region; the action selects region=mars",
      "kube      no           has at most 8 CPU for one action, which asks for 9; has region=eu; the action selects region=mars",
      "play      no           has region=us; the action selects region=mars",
      "",
    ].join("\n"),
  );
  const event = (await detailsOf(wire, run)).attempts[0]?.clusterEvents[0]?.message ?? "";
  assert.match(
    event,
    /^no cluster may take this core-sleep action\. embedded has no label region; .*\. kube .*\. play /,
  );
  await wire.runs.abortRun({ runId: runId(run), reason: "nowhere to go" });
  assert.equal(await ended(wire, run), "ABORTED");
});

/** Answers each request when the test says. */
async function answering() {
  const asked: ServerResponse[] = [];
  const server = createServer((_request, response) => void asked.push(response));
  await new Promise<void>((resolve) => server.listen(0, stage.cluster.gateway, resolve));
  after(async () => {
    server.closeAllConnections();
    server.close();
  });
  return {
    url: `http://${stage.cluster.gateway}:${(server.address() as AddressInfo).port}/`,
    /** The nth request, from 0, once it is there. */
    request: (n: number) => waitFor(() => asked[n], { what: `request ${n} of a task` }),
    count: () => asked.length,
  };
}

test(
  "cut off for longer than its lease, a cluster loses its work to others, and ends its own when it returns",
  needs,
  async () => {
    const { wire, clusterCommand, executor, names, python } = stage;
    const answers = await answering();
    await clusterCommand("drain", "embedded");
    const [[run = ""], sleeps] = await Promise.all([
      python.submit("places", { task: "ask", inputs: { url: answers.url } }),
      placedRun(wire, nap(hour), selecting("pods")),
    ]);
    const first = await answers.request(0);
    await waitFor(async () => (await phaseOf(wire, sleeps)) === "RUNNING", { what: "a nap on kube" });
    assert.deepEqual([await placesOf(run), await placesOf(sleeps)], [["kube RUNNING"], ["kube RUNNING"]]);
    await clusterCommand("resume", "embedded");

    executor.pause();
    const second = await answers.request(1);
    second.end("from the second place");
    assert.deepEqual(await outputsOf(wire, run), ["from the second place"]);
    assert.deepEqual(await placesOf(run), ["kube FAILED", "embedded SUCCEEDED"]);
    await waitFor(async () => (await placesOf(sleeps)).at(-1) === "play RUNNING", {
      what: "the nap, to go on elsewhere",
    });
    const { attempts } = await detailsOf(wire, run);
    assert.match(
      attempts[0]?.errorInfo?.message ?? "",
      /^cluster kube was not heard of for [\d.]+ s, so this attempt was given up/,
    );
    assert.match(await clusterCommand("list"), /^kube +lost /m);

    // Its pod ends while nobody looks after it.
    first.end("from the first place");
    const phase = () => stage.cluster.kubectl("get", "pods", "-o", "jsonpath={.items[*].status.phase}");
    await waitFor(async () => (await phase()) === "Succeeded", {
      what: "the end of the pod that is not ours any more",
    });
    assert.equal((await names("taskactions")).length, 2);

    executor.resume();
    await waitFor(async () => (await names("taskactions")).length === 0, { what: "the end of what kube held" });
    await waitFor(async () => (await names("pods")).length === 0, { what: "the end of the pod" });
    assert.match(await executor.log(), /not leased to this cluster any more|the control plane gave this attempt up/);
    assert.match(await clusterCommand("list"), /^kube +live /m);
    assert.deepEqual(await outputsOf(wire, run), ["from the second place"]);
    assert.deepEqual(await placesOf(run), ["kube FAILED", "embedded SUCCEEDED"]);
    assert.deepEqual(await placesOf(sleeps), ["kube FAILED", "play RUNNING"]);
    assert.equal(answers.count(), 2);
    await wire.runs.abortRun({ runId: runId(sleeps), reason: "seen enough" });
    assert.equal(await ended(wire, sleeps), "ABORTED");
  },
);
