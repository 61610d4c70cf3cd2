/** Actions without a pod through the whole life of their object: leased, stored, reconciled, reported, deleted. */
import type { TestCluster } from "@flyte-ts/platform/kubernetes/testing.ts";
import { sleepSpec } from "../actions.ts";
import { together, usage, watchRss } from "../measure.ts";
import { startParent } from "../parent.ts";
import type { Figures } from "../scenario.ts";
import type { Wire } from "../wire.ts";
import type { KubeStage } from "./stage.ts";

const callers = 64;
/** As many children as a parent has open at once: more would only wait in the executor, and be measured there. */
const inFlight = 1000;

/** One run with `count` children of no duration, until all are over on its watch and their objects are gone. */
export async function lifecycle(stage: KubeStage, count: number): Promise<Figures> {
  const { wire, executor, apiServer, cluster } = stage;
  const parent = await startParent(wire);
  await objectsLeft(cluster, 1);
  const before = await usages(stage);
  const callsBefore = await callsOn(apiServer, "taskactions");
  const rss = watchRss(executor);
  const spec = sleepSpec(0);
  const started = performance.now();
  const all = parent.ended(count);
  let next = 0;
  await together(callers, async () => {
    while (next < count) {
      await parent.ended(next - inFlight);
      if (next < count) await parent.enqueue(`c${next++}`, spec);
    }
  });
  await all;
  const ended = performance.now();
  // The parent's own stays.
  await objectsLeft(cluster, 1);
  const seconds = (performance.now() - started) / 1000;
  const after = await usages(stage);
  const callsAfter = await callsOn(apiServer, "taskactions");
  const peak = await rss.stop();
  if (parent.succeeded() !== count) throw new Error(`${parent.succeeded()} of ${count} actions succeeded`);
  await parent.close();
  const cpu = (of: "server" | "executor" | "apiServer") => ((after[of].cpu - before[of].cpu) * 1000) / count;
  return {
    actions: count,
    callers,
    "in flight": inFlight,
    seconds,
    "actions/s": count / seconds,
    "objects gone after the last end ms": started + seconds * 1000 - ended,
    "API calls/action": (callsAfter - callsBefore) / count,
    "server CPU ms/action": cpu("server"),
    "executor CPU ms/action": cpu("executor"),
    "API server CPU ms/action": cpu("apiServer"),
    "executor RSS MB at start": before.executor.rssMb,
    "executor RSS MB peak": peak,
    "executor RSS MB after": after.executor.rssMb,
    "executor RSS MB growth": after.executor.rssMb - before.executor.rssMb,
  };
}

async function usages({ wire, executor, apiServer }: KubeStage) {
  return { server: await usage(wire), executor: await usage(executor), apiServer: await usage(apiServer) };
}

async function objectsLeft({ client, namespace }: TestCluster, count: number): Promise<void> {
  const objects = client.resource({ group: "flyte.org", version: "v1", plural: "taskactions", namespaced: true });
  for (;;) {
    const { items } = await objects.list({ namespace, limit: count + 1 });
    if (items.length === count) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function callsOn(apiServer: Pick<Wire, "metrics">, resource: string): Promise<number> {
  let calls = 0;
  for (const [name, value] of await apiServer.metrics()) {
    if (name.startsWith("apiserver_request_total{") && name.includes(`resource="${resource}"`)) calls += value;
  }
  return calls;
}
