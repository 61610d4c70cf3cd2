/** The simplest objects there are, to try things with. */
import type { KubernetesClient } from "../client.ts";
import type { KubeObject } from "../objects.ts";
import type { Resource } from "../resource.ts";

export interface ConfigMap extends KubeObject {
  data?: Record<string, string>;
}

export function configMaps(client: KubernetesClient): Resource<ConfigMap> {
  return client.resource<ConfigMap>({ group: "", version: "v1", plural: "configmaps", namespaced: true });
}
