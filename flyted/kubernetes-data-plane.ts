/** The rooms of the data plane joined over one Kubernetes cluster. */
import type { LeasedAction } from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";
import { type ControlLink, executor, memoryActionStore } from "@flyte-ts/data-plane/executor";
import { kubernetesPods, podPlugin } from "@flyte-ts/data-plane/plugins/pod";
import { sleepPlugin } from "@flyte-ts/data-plane/plugins/sleep";
import type { Config } from "@flyte-ts/platform/config";
import type { KubernetesClient } from "@flyte-ts/platform/kubernetes";
import type { ObjectStore } from "@flyte-ts/platform/object-store";
import type { Logger } from "@flyte-ts/platform/telemetry";
import type { ExecutorConfig } from "./executor-config.ts";
import { podTemplates } from "./pod-templates.ts";
import { storeEnvironment, taskEndpoint } from "./task-environment.ts";

export interface KubernetesDataPlaneOptions {
  config: ExecutorConfig;
  client: KubernetesClient;
  /** Where the executor's own objects live. */
  namespace: string;
  clusterUid(): Promise<string>;
  link: ControlLink;
  objects: ObjectStore;
  /** How `objects` is reached. */
  store: Config["objectStore"];
  /** Of this process. */
  name: string;
  log: Logger;
}

export function kubernetesDataPlane(options: KubernetesDataPlaneOptions): { run(signal: AbortSignal): Promise<void> } {
  const { config, client, namespace, link, objects, store, name, log } = options;
  const { cluster } = config;
  const namespaceOf = (_lease: LeasedAction) => namespace;
  const { FLYTE_AWS_SECRET_ACCESS_KEY, FLYTE_AWS_ACCESS_KEY_ID, ...open } = storeEnvironment({
    ...store,
    ...(config.taskObjectStoreEndpoint && { endpoint: config.taskObjectStoreEndpoint }),
  });
  const secret = { FLYTE_AWS_ACCESS_KEY_ID, FLYTE_AWS_SECRET_ACCESS_KEY };

  return {
    async run(signal) {
      const clusterUid = await options.clusterUid();
      const plugins = [
        sleepPlugin({ objectStore: objects }),
        podPlugin({
          cluster,
          pods: kubernetesPods({ client, cluster, namespaces: [namespace], log }),
          objectStore: objects,
          secrets: { read: async (_scope, refs) => refs.map(() => undefined) },
          config: config.pods,
          log,
          namespace: namespaceOf,
          podTemplate: podTemplates(client, namespace),
          taskEnvironment: () => ({ ...taskEndpoint(config.taskEndpoint ?? config.controlPlane), ...open }),
          secretEnvironment: () =>
            Object.fromEntries(Object.entries(secret).flatMap(([key, value]) => (value ? [[key, value]] : []))),
        }),
      ];
      await executor({
        cluster,
        clusterUid,
        name,
        kind: "kubernetes",
        link,
        store: memoryActionStore(),
        plugins,
        log,
        slots: config.slots,
        labels: config.labels,
        queues: config.queues,
        capacity: capacityOf(config),
        concurrency: config.concurrency,
      }).run(signal);
    },
  };
}

function capacityOf({ capacity }: ExecutorConfig) {
  const { cpu = 0, memoryBytes = 0, ephemeralStorageBytes = 0, accelerators } = capacity;
  return {
    cpu,
    memoryBytes: BigInt(memoryBytes),
    ephemeralStorageBytes: BigInt(ephemeralStorageBytes),
    accelerators,
  };
}
