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
  /** Harmless when it is followed already. */
  follow(attemptUri: string, pod: Pod): Promise<void>;
  /** Nothing of the pod runs any more. What is known of its log is stored when this resolves. */
  finish(attemptUri: string, address: PodAddress): Promise<void>;
}
