/**
 * What the plugin asks of Kubernetes. The plugin decides, an adapter calls.
 *
 * Failures of calls are thrown as KubernetesError: the plugin knows which of them pass.
 */
import type { PodObjects } from "./build.ts";
import type { KubeEvent, Pod } from "./objects.ts";

export interface PodAddress {
  namespace: string;
  name: string;
}

export interface Removal extends PodAddress {
  /** Between SIGTERM and SIGKILL; 0 takes the pod out of the books, whatever its node says. */
  graceSeconds: number;
  /** Also the Secret of this name. */
  secret: boolean;
}

export interface Pods {
  /** Never older than the pod of this `uid`, and never older than what was created here. Undefined: there is none. */
  get(address: PodAddress & { uid?: string }): Promise<Pod | undefined>;
  /** The Secret first, then the pod. One that exists already is left as it is, and a pod of this name returned. */
  create(objects: PodObjects): Promise<Pod>;
  /** Adds to the pod of this `uid`; nothing when it is gone. */
  annotate(address: PodAddress & { uid: string }, annotations: Readonly<Record<string, string>>): Promise<void>;
  /** What is gone already counts as deleted. */
  delete(removal: Removal): Promise<void>;
  /** What is known of a pod's events; cheap. */
  events(pod: Pod): readonly KubeEvent[] | Promise<readonly KubeEvent[]>;
  /** All pods that executors of this cluster made. */
  list(): Promise<readonly Pod[]>;
  /** Follows pods and their events until the signal aborts, and says which pod may have changed. */
  run(changed: (address: PodAddress) => void, signal: AbortSignal): Promise<void>;
}

/** Takes the logs of pods: followed while they run, stored when they have ended. */
export interface PodLogs {
  /** Called whenever a pod may have changed. `label` tells apart the pods of an attempt that has several. */
  follow(attemptUri: string, pod: Pod, label?: string): Promise<void>;
  /**
   * Nothing of the attempt's pods runs any more; those that are there were followed as they are now. What is known of its
   * log is stored when this resolves. What it throws while the cluster or the object store is away says: call again.
   */
  finish(attemptUri: string, address: PodAddress): Promise<void>;
  /** Until the signal aborts; logs that go on are then taken up by another life. */
  run?(signal: AbortSignal): Promise<void>;
}
