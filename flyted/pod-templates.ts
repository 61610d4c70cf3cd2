/** PodTemplate objects by name: those of the action's namespace win over those of the executor's. */
import type { PodOptions } from "@flyte-ts/data-plane/plugins/pod";
import { isKubernetesError, type KubeObject, type KubernetesClient } from "@flyte-ts/platform/kubernetes";

type Template = Awaited<ReturnType<PodOptions["podTemplate"]>>;

export function podTemplates(client: KubernetesClient, own: string): PodOptions["podTemplate"] {
  const templates = client.resource<KubeObject & { template?: Template }>({
    group: "",
    version: "v1",
    plural: "podtemplates",
    namespaced: true,
  });
  return async (namespace, name) => {
    for (const place of new Set([namespace, own])) {
      try {
        return (await templates.get(name, { namespace: place })).template ?? {};
      } catch (error) {
        if (!isKubernetesError(error, "NotFound")) throw error;
      }
    }
    return undefined;
  };
}
