/** What an action adds to a pod: real pods of ours, each beside the same pod made without us. */
import { type KubeObject, listWatch } from "@flyte-ts/platform/kubernetes";
import type { TestCluster } from "@flyte-ts/platform/kubernetes/testing.ts";
import { containerSpec } from "../actions.ts";
import { percentile } from "../measure.ts";
import { type Parent, startParent } from "../parent.ts";
import type { Figures } from "../scenario.ts";
import type { KubeStage } from "./stage.ts";

interface Pod extends KubeObject {
  spec: Record<string, unknown>;
  status?: { phase?: string };
}

/** Moments, from when the pod or its action was asked for. */
interface Times {
  made: number;
  ended: number;
  /** When whoever asked for it knows. */
  known: number;
}

/** `rounds` times one action and one bare pod, one after the other, so that both see the same machine. */
export async function podOverhead({ wire, cluster }: KubeStage, rounds: number): Promise<Figures> {
  const parent = await startParent(wire);
  const stop = new AbortController();
  const watch = podWatch(cluster);
  const watching = watch.run(stop.signal);
  await watch.ready;
  const actions: Times[] = [];
  const bare: Times[] = [];
  try {
    // What the first pod has to wait for (its image, its network) is nobody's time.
    const { pod: model } = await oneAction(parent, watch, 0);
    await onePod(cluster, watch, model, 0);
    for (let round = 1; round <= rounds; round++) {
      actions.push((await oneAction(parent, watch, round)).times);
      bare.push(await onePod(cluster, watch, model, round));
    }
  } finally {
    stop.abort();
    await watching;
  }
  if (parent.succeeded() !== rounds + 1) throw new Error(`${parent.succeeded()} of ${rounds + 1} pods succeeded`);
  await parent.close();
  const median = (times: Times[], of: (one: Times) => number) => percentile(times.map(of), 0.5);
  const [action, pod] = [actions, bare].map((times) => median(times, ({ known }) => known)) as [number, number];
  const before = median(actions, ({ made }) => made) - median(bare, ({ made }) => made);
  return {
    rounds,
    "action ms p50": action,
    "bare pod ms p50": pod,
    "action ms p90": percentile(
      actions.map(({ known }) => known),
      0.9,
    ),
    "bare pod ms p90": percentile(
      bare.map(({ known }) => known),
      0.9,
    ),
    "added before the pod ms p50": before,
    "pod to its end ms p50, of an action": median(actions, ({ made, ended }) => ended - made),
    "pod to its end ms p50, bare": median(bare, ({ made, ended }) => ended - made),
    "added after the pod's end ms p50": median(actions, ({ ended, known }) => known - ended),
    "added ms p50": action - pod,
  };
}

async function oneAction(parent: Parent, watch: PodWatch, round: number): Promise<{ times: Times; pod: Pod }> {
  const name = `pod${round}`;
  const seen = watch.expect((pod) => pod.metadata.labels?.action === name);
  const started = performance.now();
  const over = parent.ended(round + 1).then(() => performance.now());
  await parent.enqueue(name, containerSpec({ command: ["true"] }));
  const known = (await over) - started;
  const { made, ended, pod } = await seen;
  return { times: { made: made - started, ended: ended - started, known }, pod };
}

async function onePod({ client, namespace }: TestCluster, watch: PodWatch, model: Pod, round: number): Promise<Times> {
  const name = `bare${round}`;
  const pods = client.resource<Pod>({ group: "", version: "v1", plural: "pods", namespaced: true });
  // Its node is for the scheduler to find.
  const { nodeName: _, ...spec } = model.spec;
  const seen = watch.expect(
    (pod) => pod.metadata.name === name,
    () => pods.delete(name, { namespace }),
  );
  const started = performance.now();
  await pods.create({ apiVersion: "v1", kind: "Pod", metadata: { name, namespace }, spec });
  const { made, ended } = await seen;
  return { made: made - started, ended: ended - started, known: ended - started };
}

interface Life {
  made: number;
  ended: number;
  pod: Pod;
}

interface PodWatch {
  ready: Promise<void>;
  /** The life of the next pod of this kind; resolves when it is gone, so that pods never overlap. */
  expect(isIt: (pod: Pod) => boolean, onEnd?: () => Promise<unknown>): Promise<Life>;
  run(signal: AbortSignal): Promise<void>;
}

function podWatch({ client, namespace }: TestCluster): PodWatch {
  let onPod: (pod: Pod, gone: boolean) => void = () => {};
  const watch = listWatch<Pod>({
    resource: client.resource<Pod>({ group: "", version: "v1", plural: "pods", namespaced: true }),
    namespace,
    onEvent(event) {
      if (event.type !== "synced") onPod(event.object, event.type === "deleted");
    },
  });
  return {
    ready: watch.whenSynced(),
    run: (signal) => watch.run(signal),
    expect(isIt, onEnd) {
      const { promise, resolve, reject } = Promise.withResolvers<Life>();
      let made = Number.NaN;
      let ended = Number.NaN;
      onPod = (pod, gone) => {
        if (!isIt(pod)) return;
        const now = performance.now();
        if (Number.isNaN(made)) made = now;
        if (Number.isNaN(ended) && ["Succeeded", "Failed"].includes(pod.status?.phase ?? "")) {
          ended = now;
          onEnd?.().catch(reject);
        }
        if (gone) resolve({ made, ended, pod });
      };
      return promise;
    },
  };
}
