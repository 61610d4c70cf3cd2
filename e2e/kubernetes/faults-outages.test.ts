/**
 * What everything stands on goes away and comes back: the executor, the control plane, the cluster, a node. No attempt is
 * lost, and nothing that ran runs again. The long outages pass beside each other.
 */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, afterEach, describe, test } from "node:test";
import { setTimeout as outage } from "node:timers/promises";
import { ErrorInfo_Kind } from "@flyte-ts/contract/flyteidl2/workflow/run_definition_pb.ts";
import type { KubeObject } from "@flyte-ts/platform/kubernetes";
import {
  brokenTestCluster,
  needsCluster,
  type OwnTestCluster,
  type TestCluster,
} from "@flyte-ts/platform/kubernetes/testing.ts";
import { type KubernetesStage, setKubernetesStage } from "../support/kubernetes-stage.ts";
import { executionsIn } from "../support/notes.ts";
import { childOf, type PodTask, podTask, runOf, sharing } from "../support/pod-runs.ts";
import { isAlive } from "../support/processes.ts";
import { actionsOf, detailsOf, ended, phaseOf } from "../support/runs.ts";
import { waitFor } from "../support/wait.ts";
import { actionId, runId } from "../support/wire.ts";

/** Longer than it takes to lose the lead among executors, and than any call is patient. */
const OUTAGE_MS = 30_000;
const numbers = (count: number) => [...Array(count).keys()];

const needsNode = needsCluster("node");
const needsFakes = needsCluster("kwok");
const scope = reversed();
let real: KubernetesStage;
let fake: KubernetesStage;
let broken: OwnTestCluster;
if (!needsNode.skip) real = await setKubernetesStage(scope);
if (!needsFakes.skip) {
  broken = await brokenTestCluster(scope, { mode: "kwok", env: { KUBE_KWOK_NODES: "2" } });
  fake = await setKubernetesStage(scope, { mode: "kwok", cluster: broken });
}

describe("outages", { concurrency: true }, () => {
  describe("real pods go on without executor and control plane", { ...needsNode, concurrency: 1 }, () => {
    test("kill -9 of the executor with 20 pods running: the next one adopts them all", async () => {
      const { executor } = real;
      const runs = await waitingRuns(real, "adopted", 20);
      await allRunning(real, runs);
      const pods = await uidsOf(real);
      assert.equal(pods.size, 20);
      await executor.kill9();
      // Some end while nobody looks.
      for (const n of [0, 1]) await go(real, `adopted-${n}`);
      await waitFor(async () => (await uidsOf(real, "Succeeded")).size === 2, { what: "the end of two pods" });
      await executor.start();
      for (const run of runs.slice(0, 2)) assert.equal(await ended(real.wire, run), "SUCCEEDED");
      const alive = await uidsOf(real, "Running");
      assert.equal(alive.size, 18);
      assert.ok([...alive].every((uid) => pods.has(uid)));
      await go(real, "adopted");
      await succeededOnce(real, runs, "adopted");
    });

    test("a control plane that is away while pods end hears of all ends", async () => {
      const { server } = real;
      for (const [name, leave, awayMs] of [
        ["stopped", () => server.stop(), OUTAGE_MS],
        ["killed", () => server.kill9(), 0],
      ] as const) {
        const runs = await waitingRuns(real, name, 8);
        await allRunning(real, runs);
        await leave();
        const away = outage(awayMs);
        await go(real, name);
        await waitFor(async () => (await uidsOf(real, "Running")).size === 0, { what: "the end of all pods" });
        await away;
        await server.start();
        await succeededOnce(real, runs, name);
      }
    });
  });

  describe("a cluster that is away, and a node that goes", { ...needsFakes, concurrency: 1 }, () => {
    // What a failed test left must not be in the way of the next.
    afterEach(() => broken.kubectl("delete", "taskactions", "--all", "--wait=false"));

    test("a node is drained and deleted: what it ran is run elsewhere, at the system's expense", async () => {
      const spread = {
        topologySpreadConstraints: [
          {
            maxSkew: 1,
            topologyKey: "kubernetes.io/hostname",
            whenUnsatisfiable: "DoNotSchedule",
            labelSelector: { matchLabels: { "task-name": "spread" } },
          },
        ],
      };
      const runs = await madeOf(fake, 6, { "flyte.test/hang": "true" }, { name: "spread", spec: spread });
      await allRunning(fake, runs);
      const moved = await podsOn(broken, "kwok-0");
      const stayed = await podsOn(broken, "kwok-1");
      assert.deepEqual([moved.length, stayed.length], [3, 3]);
      await broken.kubectl("drain", "kwok-0", "--force", "--timeout=60s");
      await broken.kubectl("delete", "node", "kwok-0");
      await waitFor(
        async () => {
          const pods = (await allPods(broken)).filter(({ status }) => status.phase === "Running");
          return runs.every((run) =>
            pods.some(({ metadata, spec }) => metadata.labels?.run === run && spec.nodeName === "kwok-1"),
          );
        },
        { what: "all pods on the other node" },
      );
      await broken.kubectl("annotate", "pods", "--all", "flyte.test/hang-");
      for (const run of runs) {
        assert.equal(await ended(fake.wire, run), "SUCCEEDED");
        const { attempts } = await detailsOf(fake.wire, run);
        assert.equal(attempts.length, moved.includes(run) ? 2 : 1);
        if (moved.includes(run)) assert.equal(attempts[0]?.errorInfo?.kind, ErrorInfo_Kind.SYSTEM);
      }
    });

    test("API server and etcd away for 30 s: the same executor goes on, and no attempt is lost", async () => {
      const { executor, wire } = fake;
      const { pid } = executor;
      const hanging = await madeOf(fake, 10, { "flyte.test/hang": "true" });
      const [doomed = ""] = await madeOf(fake, 1, { "flyte.test/hang": "true" });
      const ending = await madeOf(fake, 10, { "flyte.test/hang": "true", "flyte.test/run-for": "8s" });
      await allRunning(fake, [...hanging, doomed, ...ending]);
      const pods = await uidsOf(fake);
      const words = ["-l", `run in (${ending.join(",")})`, "flyte.test/hang-"];
      await broken.kubectl("annotate", "pods", ...words);

      for (const program of ["kube-apiserver", "etcd"] as const) await broken.programs.kill(program);
      const away = outage(OUTAGE_MS);
      const meanwhile = await madeOf(fake, 10, {});
      await wire.runs.abortRun({ runId: runId(doomed), reason: "while nobody could be asked" });
      await away;
      assert.deepEqual(await phasesOf(fake, hanging), ["RUNNING"], "nobody gave up");
      for (const program of ["etcd", "kube-apiserver"] as const) await broken.programs.start(program);

      await Promise.all([...ending, ...meanwhile].map((run) => succeeded(fake, run)));
      assert.equal(await ended(wire, doomed), "ABORTED");
      const others = async () =>
        (await allPods(broken)).filter(({ metadata }) => !hanging.includes(metadata.labels?.run ?? ""));
      await waitFor(async () => (await others()).length === 0, { what: "the end of all other pods" });
      const left = await uidsOf(fake);
      assert.ok(left.size === hanging.length && [...left].every((uid) => pods.has(uid)));
      assert.deepEqual(await phasesOf(fake, hanging), ["RUNNING"]);
      await broken.kubectl("annotate", "pods", "--all", "flyte.test/hang-");
      await Promise.all(hanging.map((run) => succeeded(fake, run)));
      assert.ok(isAlive(pid));
    });

    test("an abort above 500 actions leaves no pod and no object", async () => {
      const { wire } = fake;
      const task = podTask("", { annotations: { "flyte.test/hang": "true" } });
      const run = await runOf(wire, task);
      const other = await runOf(wire, task);
      await Promise.all(numbers(500).map((n) => childOf(wire, run, `child${n}`, task)));
      // In the midst of it: some work, some start, some are not here yet.
      await waitFor(async () => (await fake.count("pods")) > 250, { what: "250 pods", deadlineMs: 300_000 });
      await wire.runs.abortAction({ actionId: actionId(run), reason: "enough" });
      const rows = await waitFor(
        async () => {
          const all = await actionsOf(wire, run);
          return all.every((row) => row.ended) ? all : undefined;
        },
        { what: "the end of all actions", everyMs: 1000, deadlineMs: 300_000 },
      );
      assert.equal(rows.length, 501);
      assert.deepEqual([...new Set(rows.map(({ phase }) => phase))], ["ABORTED"]);
      const left = async () => [await fake.count("taskactions"), await fake.count("pods")];
      await waitFor(async () => String(await left()) === "1,1", {
        what: "an empty cluster",
        deadlineMs: 300_000,
        explain: async () => `left: ${await left()}`,
      });
      assert.equal(await phaseOf(wire, other), "RUNNING", "what is beside it goes on");
      await wire.runs.abortRun({ runId: runId(other), reason: "over" });
      assert.equal(await ended(wire, other), "ABORTED");
      await waitFor(async () => String(await left()) === "0,0", { what: "an empty cluster" });
    });
  });
});

/** Runs whose pods note that they began, and end at the word of `go`. */
function waitingRuns(stage: KubernetesStage, name: string, count: number): Promise<string[]> {
  const { shared, wire } = stage;
  return Promise.all(
    numbers(count).map((n) => {
      const word = (file: string) => `[ -e ${join(shared, `go-${file}`)} ]`;
      const script = `echo x >> ${join(shared, `${name}-${n}`)}; until ${word(name)} || ${word(`${name}-${n}`)}; do sleep 0.5; done`;
      return runOf(wire, podTask(script, sharing(shared)));
    }),
  );
}

const go = ({ shared }: KubernetesStage, name: string) => writeFile(join(shared, `go-${name}`), "");

/** Runs of pods that kwok plays as these annotations say. */
function madeOf(
  { wire }: KubernetesStage,
  count: number,
  annotations: Record<string, string>,
  parts: PodTask = {},
): Promise<string[]> {
  return Promise.all(numbers(count).map(() => runOf(wire, podTask("", { ...parts, annotations }))));
}

async function phasesOf({ wire }: KubernetesStage, runs: readonly string[]): Promise<string[]> {
  return [...new Set(await Promise.all(runs.map((run) => phaseOf(wire, run))))];
}

function allRunning(stage: KubernetesStage, runs: readonly string[]): Promise<unknown> {
  return waitFor(async () => String(await phasesOf(stage, runs)) === "RUNNING", {
    what: `${runs.length} runs, to work`,
    explain: async () => `phases: ${await phasesOf(stage, runs)}`,
  });
}

async function succeeded({ wire }: KubernetesStage, run: string): Promise<void> {
  assert.equal(await ended(wire, run), "SUCCEEDED");
  const { attempts } = await detailsOf(wire, run);
  assert.deepEqual(
    attempts.map(({ cluster }) => cluster),
    ["kube"],
  );
}

async function succeededOnce(stage: KubernetesStage, runs: readonly string[], name: string): Promise<void> {
  await Promise.all(runs.map((run) => succeeded(stage, run)));
  const executions = await executionsIn(stage.shared);
  for (const n of runs.keys()) assert.equal(executions[`${name}-${n}`], 1, `executions of ${name}-${n}`);
}

interface Pod extends KubeObject {
  spec: { nodeName?: string };
  status: { phase: string };
}

async function allPods({ client, namespace }: TestCluster): Promise<Pod[]> {
  const pods = client.resource<Pod>({ group: "", version: "v1", plural: "pods", namespaced: true });
  return (await pods.list({ namespace })).items;
}

async function uidsOf({ cluster }: KubernetesStage, phase?: string): Promise<Set<string | undefined>> {
  const pods = await allPods(cluster);
  return new Set(
    pods.filter(({ status }) => phase === undefined || status.phase === phase).map(({ metadata }) => metadata.uid),
  );
}

/** Of these runs are the pods of this node. */
async function podsOn(cluster: OwnTestCluster, node: string): Promise<string[]> {
  const pods = await allPods(cluster);
  return pods.filter(({ spec }) => spec.nodeName === node).map(({ metadata }) => metadata.labels?.run ?? "");
}

/** What is made last ends first: an executor before its cluster. */
function reversed(): { after(hook: () => Promise<void>): void } {
  const hooks: (() => Promise<void>)[] = [];
  after(async () => {
    for (const hook of hooks.reverse()) await hook();
  });
  return { after: (hook) => void hooks.push(hook) };
}
