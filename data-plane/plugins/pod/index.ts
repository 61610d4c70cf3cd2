// What compositions use, then what other adapters of the cluster share.

export type { SecretRef, SecretValues } from "../../secrets/index.ts";
export { type PodConfig, podConfig } from "./config.ts";
export { type KubernetesPodsOptions, kubernetesPods } from "./kubernetes-pods.ts";
export { labelKey, labelValue, podName } from "./names.ts";
export type { PodOptions } from "./options.ts";
export { podPlugin } from "./plugin.ts";
export { type PodLogsOptions, podLogs } from "./pod-logs.ts";
export type { PodLogs } from "./pods.ts";
