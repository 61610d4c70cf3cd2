/** What the pod plugin is made of. */
import type { LeasedAction } from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";
import type { OwnerReference } from "@flyte-ts/platform/kubernetes";
import type { ObjectStore } from "@flyte-ts/platform/object-store";
import type { AttemptContext, Log } from "../../executor/index.ts";
import type { SecretValues } from "../../secrets/index.ts";
import type { PodConfig } from "./config.ts";
import type { PodTemplateSpec } from "./objects.ts";
import type { PodLogs, Pods } from "./pods.ts";

export interface PodOptions {
  /** The executor's, as the control plane calls it. */
  cluster: string;
  pods: Pods;
  objectStore: Pick<ObjectStore, "get" | "head" | "put">;
  secrets: SecretValues;
  config: PodConfig;
  log: Log;
  /** Where an attempt's pod lives. */
  namespace(lease: LeasedAction): string;
  /** The object that stands for the attempt in the cluster, so that what is made goes with it. */
  owner?(context: AttemptContext): OwnerReference | undefined | Promise<OwnerReference | undefined>;
  /** The `template` of a PodTemplate, looked for in the namespace, then where the executor keeps them. */
  podTemplate(namespace: string, name: string): Promise<PodTemplateSpec | undefined>;
  /** Endpoint and storage variables of this server, asked for at each start. */
  taskEnvironment(): Readonly<Record<string, string>>;
  /** Likewise, those that no pod may show: they go through a Secret. */
  secretEnvironment?(): Readonly<Record<string, string>>;
  logs?: PodLogs;
  /** `*` among them takes every type that no other plugin names. */
  taskTypes?: readonly string[];
}
