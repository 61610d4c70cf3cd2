/**
 * The other side of the pods port, for tests: keeps what is created, and shows, hides or refuses what a test says. Not
 * Kubernetes: it decides nothing, except that a pod that is deleted without a node, or with no grace, is gone at once.
 */
import type { KubernetesError } from "@flyte-ts/platform/kubernetes";
import type { PodObjects } from "../build.ts";
import type { KubeEvent, Pod, PodStatus } from "../objects.ts";
import type { PodAddress, Pods, Removal } from "../pods.ts";

export interface ScriptedPods extends Pods {
  readonly created: PodObjects[];
  readonly removals: Removal[];
  readonly secrets: Set<string>;
  /** Thrown by `create`, by every call, as long as they are set. */
  refusal: KubernetesError | undefined;
  away: KubernetesError | undefined;
  calls: number;
  pod(name: string): Pod | undefined;
  /** A pod that nobody created here. */
  put(pod: Pod): void;
  /** Replaces the status of a pod, puts it on a node, and tells of it. */
  show(name: string, status: PodStatus, metadata?: object): void;
  vanish(name: string): void;
  say(name: string, events: readonly KubeEvent[]): void;
}

export function scriptedPods(): ScriptedPods {
  const pods = new Map<string, Pod>();
  const events = new Map<string, readonly KubeEvent[]>();
  const listeners = new Set<(address: PodAddress) => void>();
  let serial = 0;

  const reach = () => {
    scripted.calls += 1;
    if (scripted.away) throw scripted.away;
  };
  const tell = (name: string) => {
    const namespace = pods.get(name)?.metadata.namespace ?? "ns";
    for (const listener of listeners) listener({ namespace, name });
  };

  const scripted: ScriptedPods = {
    created: [],
    removals: [],
    secrets: new Set(),
    refusal: undefined,
    away: undefined,
    calls: 0,
    pod: (name) => pods.get(name),
    put: (pod) => void pods.set(pod.metadata.name, pod),
    show(name, status, metadata = {}) {
      const pod = pods.get(name);
      if (!pod) throw new Error(`no pod ${name}`);
      pods.set(name, {
        ...pod,
        metadata: { ...pod.metadata, ...metadata },
        spec: { ...pod.spec, nodeName: "n1" },
        status,
      });
      tell(name);
    },
    vanish(name) {
      pods.delete(name);
      tell(name);
    },
    say(name, said) {
      events.set(name, said);
      tell(name);
    },
    async get({ name }) {
      reach();
      return pods.get(name);
    },
    async create(objects) {
      reach();
      if (scripted.refusal) throw scripted.refusal;
      const { pod, secret } = objects;
      const existing = pods.get(pod.metadata.name);
      if (secret) scripted.secrets.add(secret.metadata.name);
      if (existing) return existing;
      scripted.created.push(objects);
      serial += 1;
      const stored: Pod = {
        ...pod,
        metadata: { ...pod.metadata, uid: `u${serial}`, creationTimestamp: new Date().toISOString() },
        status: { phase: "Pending" },
      };
      pods.set(pod.metadata.name, stored);
      return stored;
    },
    async annotate({ name, uid }, annotations) {
      reach();
      const pod = pods.get(name);
      if (pod?.metadata.uid !== uid || !pod) return;
      const metadata = { ...pod.metadata, annotations: { ...pod.metadata.annotations, ...annotations } };
      pods.set(name, { ...pod, metadata });
      tell(name);
    },
    async delete(removal) {
      reach();
      scripted.removals.push(removal);
      if (removal.secret) scripted.secrets.delete(removal.name);
      const pod = pods.get(removal.name);
      if (!pod) return;
      const over = pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed";
      if (over || removal.graceSeconds === 0 || !pod.spec.nodeName) {
        pods.delete(removal.name);
        return;
      }
      const deletionTimestamp = new Date(Date.now() + removal.graceSeconds * 1000).toISOString();
      pods.set(removal.name, {
        ...pod,
        metadata: { ...pod.metadata, deletionTimestamp, deletionGracePeriodSeconds: removal.graceSeconds },
      });
    },
    events: (pod) => events.get(pod.metadata.name) ?? [],
    async list() {
      reach();
      return [...pods.values()];
    },
    async run(changed, signal) {
      listeners.add(changed);
      await new Promise<void>((resolve) => {
        if (signal.aborted) resolve();
        else signal.addEventListener("abort", () => resolve(), { once: true });
      });
      listeners.delete(changed);
    },
  };
  return scripted;
}
