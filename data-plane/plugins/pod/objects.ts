/**
 * As much of Kubernetes' objects as this plugin reads or writes. Pods of tasks and templates may hold more; what is not
 * named here is kept as it came.
 */
import type { ObjectMeta } from "@flyte-ts/platform/kubernetes";

/** JSON of an object that is only passed on. */
export type Passed = { readonly [field: string]: unknown };

export interface EnvVar {
  name: string;
  value?: string;
  valueFrom?: { secretKeyRef?: { name: string; key: string; optional?: boolean } } & Passed;
}

export interface Toleration {
  key?: string;
  operator?: "Exists" | "Equal";
  value?: string;
  effect?: "NoSchedule" | "PreferNoSchedule" | "NoExecute";
  tolerationSeconds?: number;
}

export interface NodeRequirement {
  key: string;
  operator: "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt";
  values?: string[];
}

export interface NodeSelectorTerm {
  matchExpressions?: NodeRequirement[];
  matchFields?: NodeRequirement[];
}

export interface Affinity {
  nodeAffinity?: {
    requiredDuringSchedulingIgnoredDuringExecution?: { nodeSelectorTerms: NodeSelectorTerm[] };
  } & Passed;
  podAffinity?: Passed;
  podAntiAffinity?: Passed;
}

export type Quantities = Record<string, string>;

export interface Container {
  name: string;
  image?: string;
  imagePullPolicy?: "Always" | "IfNotPresent" | "Never";
  command?: string[];
  args?: string[];
  env?: EnvVar[];
  envFrom?: Passed[];
  resources?: { requests?: Quantities; limits?: Quantities } & Passed;
  volumeMounts?: ({ name: string; mountPath: string; readOnly?: boolean } & Passed)[];
  ports?: ({ containerPort: number; name?: string } & Passed)[];
  readinessProbe?: Passed;
  restartPolicy?: string;
  terminationMessagePolicy?: "File" | "FallbackToLogsOnError";
}

export interface Volume {
  name: string;
  emptyDir?: { medium?: "Memory"; sizeLimit?: string };
  secret?: { secretName: string; items?: { key: string; path: string }[]; defaultMode?: number };
  downwardAPI?: { items: { path: string; fieldRef: Passed }[] };
}

export interface PodSpec {
  containers: Container[];
  initContainers?: Container[];
  volumes?: Volume[];
  restartPolicy?: "Never" | "OnFailure" | "Always";
  enableServiceLinks?: boolean;
  serviceAccountName?: string;
  imagePullSecrets?: { name: string }[];
  nodeSelector?: Record<string, string>;
  nodeName?: string;
  tolerations?: Toleration[];
  affinity?: Affinity;
  schedulerName?: string;
  runtimeClassName?: string;
  priorityClassName?: string;
  securityContext?: Passed;
  activeDeadlineSeconds?: number;
  terminationGracePeriodSeconds?: number;
  hostname?: string;
}

export interface ContainerState {
  waiting?: { reason?: string; message?: string };
  running?: { startedAt?: string };
  terminated?: {
    exitCode: number;
    signal?: number;
    reason?: string;
    message?: string;
    startedAt?: string | null;
    finishedAt?: string | null;
    containerID?: string;
  };
}

export interface ContainerStatus {
  name: string;
  ready?: boolean;
  restartCount?: number;
  image?: string;
  containerID?: string;
  state?: ContainerState;
  lastState?: ContainerState;
}

export interface PodCondition {
  type: string;
  status: "True" | "False" | "Unknown";
  reason?: string;
  message?: string;
  lastTransitionTime?: string | null;
}

export interface PodStatus {
  phase?: "Pending" | "Running" | "Succeeded" | "Failed" | "Unknown";
  reason?: string;
  message?: string;
  startTime?: string;
  conditions?: PodCondition[];
  containerStatuses?: ContainerStatus[];
  initContainerStatuses?: ContainerStatus[];
}

export interface Pod {
  apiVersion?: "v1";
  kind?: "Pod";
  metadata: ObjectMeta;
  spec: PodSpec;
  status?: PodStatus;
}

/** The `template` of a PodTemplate object. */
export interface PodTemplateSpec {
  metadata?: Partial<ObjectMeta>;
  spec?: Partial<PodSpec>;
}

export interface SecretObject {
  apiVersion: "v1";
  kind: "Secret";
  metadata: ObjectMeta;
  type: "Opaque";
  immutable: true;
  /** Base64. */
  data: Record<string, string>;
}

/** An Event of API group "" about a pod; newer writers fill `eventTime` and `series` instead of the old fields. */
export interface KubeEvent {
  metadata: ObjectMeta;
  involvedObject?: { kind?: string; namespace?: string; name?: string; uid?: string; fieldPath?: string };
  type?: string;
  reason?: string;
  message?: string;
  count?: number;
  firstTimestamp?: string | null;
  lastTimestamp?: string | null;
  eventTime?: string | null;
  series?: { count?: number; lastObservedTime?: string } | null;
  source?: { component?: string; host?: string };
  reportingComponent?: string;
}
