/** What an action adds to a pod: real pods of ours, each beside the same pod made without us. */
import { type KubeObject, listWatch } from "@flyte-ts/platform/kubernetes";
import type { TestCluster } from "@flyte-ts/platform/kubernetes/testing.ts";
import { containerSpec } from "../actions.ts";
import { percentile } from "../measure.ts";
import { type Parent, startParent } from "../parent.ts";
import type { Figures } from "../scenario.ts";
import type { KubeStage } from "./stage.ts";

interface Pod extends KubeObject {
  spec: { containers: { env?: Variable[] }[]; nodeName?: string };
  status?: { phase?: string; containerStatuses?: { state?: { terminated?: object } }[] };
}

interface Variable {
  name: string;
  valueFrom?: { secretKeyRef?: { name: string; key: string } };
}

/** When what was seen of the pod, and the pod as it was seen last. */
interface Life {
  made: number;
  /** Its container has ended: the kubelet says so some time before it calls the pod over. */
  ended: number;
  over: number;
  pod: Pod;
}

/** Moments in ms, from when the pod or its action was asked for. */
interface Times extends Omit<Life, "pod"> {
  /** The action's end was told on the watch of its parent. */
  told: number;
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
    const { pod } = await oneAction(parent, watch, 0);
    const spec = await bareSpec(cluster, pod);
    await onePod(cluster, watch, spec, 0);
    for (let round = 1; round <= rounds; round++) {
      actions.push((await oneAction(parent, watch, round)).times);
      bare.push(await onePod(cluster, watch, spec, round));
    }
  } finally {
    stop.abort();
    await watching;
  }
  if (parent.succeeded() !== rounds + 1) throw new Error(`${parent.succeeded()} of ${rounds + 1} pods succeeded`);
  await parent.close();
  const before = middle(actions, made) - middle(bare, made);
  const after = middle(actions, (one) => one.told - one.ended);
  return {
    rounds,
    ...compared("to the container's end", actions, bare, ({ ended }) => ended),
    ...compared("to the pod's end", actions, bare, ({ over }) => over),
    "action ms p50, to its end as told": middle(actions, told),
    "action ms p90, to its end as told": percentile(actions.map(told), 0.9),
    "added before the pod ms p50": before,
    "added after the container's end ms p50": after,
    // Of what a kubelet does meanwhile, which varies by more than this, nothing is in these two.
    "added ms p50": before + after,
    "action minus bare pod ms p50, to the container's end": middle(actions, told) - middle(bare, ({ ended }) => ended),
    "action minus bare pod ms p50, to the pod's end": middle(actions, told) - middle(bare, ({ over }) => over),
  };
}

const made = (times: Times) => times.made;
const told = (times: Times) => times.told;
const middle = (times: readonly Times[], of: (one: Times) => number) => percentile(times.map(of), 0.5);

function compared(what: string, actions: Times[], bare: Times[], of: (one: Times) => number): Figures {
  return { [`pod of an action ms p50, ${what}`]: middle(actions, of), [`bare pod ms p50, ${what}`]: middle(bare, of) };
}

async function oneAction(parent: Parent, watch: PodWatch, round: number): Promise<{ times: Times; pod: Pod }> {
  const name = `pod${round}`;
  const seen = watch.expect((pod) => pod.metadata.labels?.action === name);
  const started = performance.now();
  const over = parent.ended(round + 1).then(() => performance.now());
  await parent.enqueue(name, containerSpec({ command: ["true"] }));
  const told = await over;
  const life = await seen;
  return { times: { ...since(started, life), told: told - started }, pod: life.pod };
}

/** The pod's spec as it stands alone: it finds its own node, and its secrets are in one of its own. */
async function bareSpec({ client, namespace }: TestCluster, { spec }: Pod): Promise<Pod["spec"]> {
  const { nodeName: _, ...rest } = structuredClone(spec);
  const keys: string[] = [];
  for (const { valueFrom } of rest.containers.flatMap(({ env = [] }) => env)) {
    if (!valueFrom?.secretKeyRef) continue;
    keys.push(valueFrom.secretKeyRef.key);
    valueFrom.secretKeyRef.name = "bare";
  }
  const secrets = client.resource({ group: "", version: "v1", plural: "secrets", namespaced: true });
  const stringData = Object.fromEntries(keys.map((key) => [key, "none"]));
  await secrets.create({
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: "bare", namespace },
    stringData,
  } as never);
  return rest;
}

async function onePod(
  { client, namespace }: TestCluster,
  watch: PodWatch,
  spec: Pod["spec"],
  round: number,
): Promise<Times> {
  const name = `bare${round}`;
  const pods = client.resource<Pod>({ group: "", version: "v1", plural: "pods", namespaced: true });
  const seen = watch.expect(
    (pod) => pod.metadata.name === name,
    () => pods.delete(name, { namespace }),
  );
  const started = performance.now();
  await pods.create({ apiVersion: "v1", kind: "Pod", metadata: { name, namespace }, spec });
  return since(started, await seen);
}

function since(started: number, { made, ended, over }: Life): Times {
  return { made: made - started, ended: ended - started, over: over - started, told: Number.NaN };
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
      const life = { made: Number.NaN, ended: Number.NaN, over: Number.NaN };
      onPod = (pod, gone) => {
        if (!isIt(pod)) return;
        const now = performance.now();
        const { phase = "", containerStatuses = [] } = pod.status ?? {};
        if (Number.isNaN(life.made)) life.made = now;
        if (Number.isNaN(life.ended) && containerStatuses.some(({ state }) => state?.terminated)) life.ended = now;
        if (Number.isNaN(life.over) && ["Succeeded", "Failed"].includes(phase)) {
          life.over = now;
          onEnd?.().catch(reject);
        }
        if (gone) resolve({ ...life, pod });
      };
      return promise;
    },
  };
}
