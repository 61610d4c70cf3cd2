/** As much of a Kubernetes Secret as this room reads or writes, and its labels. */
import type { KubeObject, KubernetesClient, Resource } from "@flyte-ts/platform/kubernetes";

export interface KubeSecret extends KubeObject {
  type?: string;
  immutable?: boolean;
  /** Base64. */
  data?: Record<string, string>;
}

/** On what Flyte's own tools wrote. */
export const MANAGED = "app.flyte.org/managed";
export const MANAGED_PROJECT = "app.flyte.org/project";
export const MANAGED_DOMAIN = "app.flyte.org/domain";

/** On what people wrote: its keys are the keys of secrets, its name is their group. */
export const BY_HAND = "flyte.org/secret";
export const PROJECT = "flyte.org/project";
export const DOMAIN = "flyte.org/domain";

export function secretsOf(client: KubernetesClient): Resource<KubeSecret> {
  return client.resource<KubeSecret>({ group: "", version: "v1", plural: "secrets", namespaced: true });
}
