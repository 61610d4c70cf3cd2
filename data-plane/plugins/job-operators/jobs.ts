/**
 * What the plugin asks of Kubernetes. The plugin decides, an adapter calls.
 *
 * Failures of calls are thrown as KubernetesError: the plugin knows which of them pass.
 */
import type { KubeEvent, Pod } from "../pod/objects.ts";
import type { PodAddress } from "../pod/pods.ts";
import type { JobObjects } from "./build.ts";
import type { JobKind, JobObject } from "./kind.ts";

export interface JobAddress {
  namespace: string;
  name: string;
  /** The name of its Secret; empty when it has none. */
  secret: string;
}

export interface Jobs {
  /** Never older than the job of this `uid`, and never older than what was created here. Undefined: there is none. */
  get(kind: JobKind, address: JobAddress & { uid?: string }): Promise<JobObject | undefined>;
  /** The Secret first, then the job. One that exists already is left as it is, and a job of this name returned. */
  create(kind: JobKind, objects: JobObjects): Promise<JobObject>;
  /** With its Secret. What is gone already counts as deleted. */
  delete(kind: JobKind, address: JobAddress): Promise<void>;
  /** The pods that were made of a job; cheap, unless it must be what the API server knows now. */
  pods(address: JobAddress, options?: { now: boolean }): Promise<readonly Pod[]>;
  /** A grace of 0 takes the pod out of the books, whatever its node says. */
  endPod(address: PodAddress, graceSeconds: number): Promise<void>;
  /** What is known of the events about a job and these pods; cheap. */
  events(kind: JobKind, job: JobObject, pods: readonly Pod[]): Promise<readonly KubeEvent[]>;
  /** All jobs of a kind that executors of this cluster made; none where it is unknown, or may not be seen at all. */
  list(kind: JobKind): Promise<readonly JobObject[]>;
  /** Kinds that the cluster does not serve, or not to this executor. Waits until `run` has looked once. */
  lacking(signal: AbortSignal): Promise<readonly JobKind[]>;
  /** Tells of each change of them. */
  onLacking(changed: () => void): void;
  /** Follows jobs, their pods and events until the signal aborts, and says which job may have changed. */
  run(changed: (job: PodAddress) => void, signal: AbortSignal): Promise<void>;
}
