/** Many pods at once, played by kwok: what an executor that holds them uses, and that it misses nothing of them. */
import { setTimeout as sleep } from "node:timers/promises";
import { containerSpec } from "../actions.ts";
import { together, usage, watchRss } from "../measure.ts";
import { startParent } from "../parent.ts";
import type { Figures } from "../scenario.ts";
import type { KubeStage } from "./stage.ts";

const callers = 64;
/** Keeps kwok from ending a pod; see scripts/kube/README.md. */
const HANG = "flyte.test/hang";
const holdMs = 30_000;

/** `count` pods until all are told to be running, then held, then let go until all are told to be over. */
export async function livePods({ wire, executor, cluster }: KubeStage, count: number): Promise<Figures> {
  const { client, namespace } = cluster;
  const pods = client.resource({ group: "", version: "v1", plural: "pods", namespaced: true });
  const parent = await startParent(wire);
  const before = await usage(executor);
  const rss = watchRss(executor);
  const spec = containerSpec({ command: ["sleep", "infinity"], annotations: { [HANG]: "true" } });
  const started = performance.now();
  const all = parent.running(count);
  let next = 0;
  await together(callers, async () => {
    while (next < count) await parent.enqueue(`p${next++}`, spec);
  });
  await all;
  const running = performance.now();
  const held = await usage(executor);
  await sleep(holdMs);
  const after = await usage(executor);
  const { items } = await pods.list({ namespace });
  const live = items.filter((pod) => (pod as { status?: { phase?: string } }).status?.phase === "Running");

  const ending = performance.now();
  const ends = parent.ended(count);
  const names = live.map(({ metadata }) => metadata.name);
  await together(16, async () => {
    for (let name = names.pop(); name !== undefined; name = names.pop()) {
      await pods.patch(name, { metadata: { annotations: { [HANG]: null } } } as never, { namespace });
    }
  });
  await ends;
  const over = performance.now();
  const peak = await rss.stop();
  const missed = [...parent.phases.keys()].filter((name) => !parent.ran.has(name)).length;
  const succeeded = parent.succeeded();
  await parent.close();
  return {
    pods: count,
    "pods alive while held": live.length,
    "all running after s": (running - started) / 1000,
    "running/s": (count / (running - started)) * 1000,
    "all over after s": (over - ending) / 1000,
    "missed phases": missed + (count - succeeded) + (count - parent.phases.size),
    "executor CPU % while held": ((after.cpu - held.cpu) / holdMs) * 100_000,
    "executor RSS MB at start": before.rssMb,
    "executor RSS MB held": after.rssMb,
    "executor RSS MB peak": peak,
  };
}
