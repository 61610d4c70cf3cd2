// What compositions use, then what other adapters of the cluster share.
export { type PodConfig, podConfig } from "./config.ts";
export { objectName } from "./names.ts";
export type { SecretRef, SecretValues } from "./secrets.ts";
