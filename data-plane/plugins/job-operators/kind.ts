/**
 * The port of this room: what an operator's kind of job is to the plugin that runs them all. Everything in it is pure.
 *
 * A kind builds its object out of pods that the pod plugin builds, and reads what its operator writes into the status.
 */
import type { ExtendedResources, K8sPod, Resources, TaskTemplate } from "@flyte-ts/contract/flyteidl2/core/tasks_pb.ts";
import type { KubeObject } from "@flyte-ts/platform/kubernetes";
import type { AttemptError } from "../../executor/index.ts";
import type { Container, EnvVar, Passed, Pod, PodSpec } from "../pod/objects.ts";
import type { JobConfig } from "./config.ts";

/** An operator's object, as much of it as all kinds share. */
export interface JobObject extends KubeObject {
  spec: Passed;
  status?: Passed;
}

export interface JobKind {
  readonly taskTypes: readonly string[];
  readonly resource: { readonly group: string; readonly version: string; readonly plural: string };
  /** `RayJob`. */
  readonly kind: string;
  /** Who makes something of it, for messages: `the KubeRay operator`. */
  readonly operator: string;
  /** The longest name of which the operator can still make names for pods and services. */
  readonly maxName: number;
  /**
   * One process is the task and the others help it: what it wrote is the end, also when the job fails afterwards. In a
   * gang of equals only a job that succeeded has outputs.
   */
  readonly driven: boolean;
  /** Throws BadSpecError for what can never run. */
  build(request: JobRequest): Passed;
  observe(job: JobObject): JobSeen;
  /** The pod whose trouble is the job's; of several tries the one that counts. */
  primary(pods: readonly Pod[]): Pod | undefined;
  /** The pod whose log is the task's, when it is not the primary one. */
  speaker?(pods: readonly Pod[]): Pod | undefined;
  /** False while the operator would start a failed primary pod again. */
  lastTry?(job: JobObject): boolean;
}

export interface JobRequest {
  /** Of the object. */
  name: string;
  namespace: string;
  template: TaskTemplate;
  config: JobConfig;
  /** The task's pod in one of the job's roles. */
  pod(role: Role): RolePod;
}

/** How the task's own pod is changed to play a role; what is absent stays as the task has it. */
export interface Role {
  /** `head`, `worker`, …: a label of the pod. */
  name: string;
  /** The name by which the operator knows the container. */
  container: string;
  image?: string | undefined;
  /** In place of the task's. */
  resources?: Resources | undefined;
  command?: readonly string[];
  args?: readonly string[];
  /** Nobody can replace them. */
  env?: readonly EnvVar[];
  ports?: readonly { name: string; containerPort: number }[];
  /** Laid over the task's pod. */
  overlay?: K8sPod | undefined;
  extendedResources?: ExtendedResources | undefined;
  /** False: on nodes that stay, whatever the task wishes. */
  interruptible?: false;
}

/** A `PodTemplateSpec`, and its container that plays the role. */
export interface RolePod {
  metadata: { labels: Record<string, string>; annotations: Record<string, string> };
  spec: PodSpec;
  primary: Container;
}

/** What the operator's status says. */
export type JobSeen =
  /** The operator has not looked at it. */
  | { kind: "silent" }
  /** Held back on purpose: by a queue, or by a person. */
  | { kind: "suspended"; message: string }
  | { kind: "starting" }
  | { kind: "running"; startedAt?: Date | undefined }
  | { kind: "succeeded"; startedAt?: Date | undefined; at?: Date | undefined }
  /** `error` is the operator's word; what the job's pods say is told instead, unless it is `final`. */
  | {
      kind: "failed";
      startedAt?: Date | undefined;
      at?: Date | undefined;
      phase?: "timedOut";
      error: AttemptError;
      final?: boolean;
    };
