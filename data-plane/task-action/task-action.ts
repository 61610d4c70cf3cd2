/**
 * The TaskAction object: one attempt of an admitted action, kept in the etcd of the cluster that runs it. The fields are
 * upstream's, so that its tooling reads them; ours are marked. deploy/crd/taskactions.yaml is their schema.
 */
import type { KubeObject, ResourceDefinition } from "@flyte-ts/platform/kubernetes";

export const taskActionResource: ResourceDefinition = {
  group: "flyte.org",
  version: "v1",
  plural: "taskactions",
  namespaced: true,
};
export const taskActionApiVersion = "flyte.org/v1";
export const taskActionKind = "TaskAction";
/** Larger templates are referenced. */
export const maxInlineTemplateBytes = 64 << 10;
/** Holds an object until the plugin has ended its work. */
export const taskActionFinalizer = "flyte.org/plugin-finalizer";

export interface TaskAction extends KubeObject {
  spec: TaskActionSpec;
  /** Written through its subresource only. */
  status?: TaskActionStatus;
}

/** Bytes are base64, times are RFC 3339. */
export interface TaskActionSpec {
  runName: string;
  project: string;
  domain: string;
  actionName: string;
  parentActionName?: string;
  /** Empty means task. */
  actionType?: "" | "task" | "condition";
  conditionSpec?: string;
  inputUri?: string;
  runOutputBase: string;
  cacheKey?: string;
  taskType?: string;
  shortName?: string;
  /** flyteidl2.task.TaskSpec. */
  taskTemplate?: string;
  envVars?: Record<string, string>;
  interruptible?: boolean;
  group?: string;
  // Ours:
  cluster: string;
  runKey: number;
  leaseEpoch: number;
  attempt: number;
  taskTemplateRef?: { uri: string; size: number; sha256: string };
  rawDataPrefix?: string;
  serviceAccount?: string;
  runLabels?: Record<string, string>;
  runAnnotations?: Record<string, string>;
  runStartTime?: string;
  enqueuedAt?: string;
  startedAt?: string;
  /** flytets.cluster.v1.LeasedAction: what the lease says and no field above can hold. */
  leaseRest?: string;
}

export interface TaskActionError {
  code?: string;
  kind?: string;
  message?: string;
  // Ours:
  recoverable?: boolean;
  uri?: string;
}

export interface TaskActionCondition {
  type: "Progressing" | "Succeeded" | "Failed";
  status: "True" | "False" | "Unknown";
  reason: string;
  message?: string;
  observedGeneration?: number;
  lastTransitionTime: string;
}

export interface TaskActionStatus {
  stateJson?: string;
  /** JSON here; upstream's is gob. */
  pluginState?: string;
  pluginStateVersion?: number;
  pluginPhase?: string;
  pluginPhaseVersion?: number;
  attempts?: number;
  systemFailures?: number;
  cacheStatus?: number;
  conditions?: TaskActionCondition[];
  phaseHistory?: { phase: string; occurredAt: string; outputUri?: string }[];
  errorState?: TaskActionError;
  signalValue?: string;
  signalledBy?: string;
  signalledAt?: string;
  // Ours:
  /** For people: the last of phaseHistory. */
  phase?: string;
  ending?: { phase: "aborted" | "dropped" | "timedOut" | "failed"; reason: string; error?: TaskActionError };
  released?: boolean;
  details?: string;
}
