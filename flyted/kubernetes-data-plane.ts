/** The rooms of the data plane joined over one Kubernetes cluster. */
import { type ControlLink, executor } from "@flyte-ts/data-plane/executor";
import { namespaceKeeper, namespaceMap } from "@flyte-ts/data-plane/namespaces";
import { connectorPlugin } from "@flyte-ts/data-plane/plugins/connector";
import { jobKinds, jobPlugin, kubernetesJobs } from "@flyte-ts/data-plane/plugins/job-operators";
import { kubernetesPods, podLogs, podPlugin } from "@flyte-ts/data-plane/plugins/pod";
import { sleepPlugin } from "@flyte-ts/data-plane/plugins/sleep";
import { kubernetesSecrets } from "@flyte-ts/data-plane/secrets";
import { kubernetesActionStore } from "@flyte-ts/data-plane/task-action";
import type { Config } from "@flyte-ts/platform/config";
import type { KubernetesClient } from "@flyte-ts/platform/kubernetes";
import type { ObjectStore } from "@flyte-ts/platform/object-store";
import type { Logger } from "@flyte-ts/platform/telemetry";
import type { ExecutorConfig } from "./executor-config.ts";
import { podTemplates } from "./pod-templates.ts";
import { storeEnvironment, taskEndpoint } from "./task-environment.ts";
import { VERSION } from "./version.ts";

export interface KubernetesDataPlaneOptions {
  config: ExecutorConfig;
  client: KubernetesClient;
  /** Where the executor's own objects live. */
  namespace: string;
  /** Waits for it; what it gives after an abort is of no use. */
  clusterUid(signal: AbortSignal): Promise<string>;
  link: ControlLink;
  objects: ObjectStore;
  /** How `objects` is reached. */
  store: Config["objectStore"];
  /** Of this process. */
  name: string;
  log: Logger;
}

/** Each `run` begins anew from what the cluster holds: a replica that leads again knows nothing of its last term. */
export function kubernetesDataPlane(options: KubernetesDataPlaneOptions): { run(signal: AbortSignal): Promise<void> } {
  const { config, client, link, objects, name, log } = options;
  const { cluster } = config;
  const secrets = kubernetesSecrets({ client, namespace: options.namespace });
  const environment = taskVariables(config, options.store);

  return {
    async run(signal) {
      const clusterUid = await options.clusterUid(signal);
      if (signal.aborted) return;
      const places = placesOf(options);
      const store = kubernetesActionStore({ client, cluster, objectStore: objects, log, ...places });
      const watched = places.namespaces ? { namespaces: places.namespaces } : {};
      const pods = kubernetesPods({ client, cluster, log, ...watched });
      const parts = {
        cluster,
        pods,
        objectStore: objects,
        secrets,
        config: config.pods,
        log,
        logs: podLogs({ client, objectStore: objects, log }),
        namespace: places.namespaceFor,
        owner: ({ key }: { key: string }) => store.ownerOf(key),
        podTemplate: podTemplates(client, options.namespace),
        taskEnvironment: () => environment.open,
        secretEnvironment: () => environment.secret,
      };
      const jobs = kubernetesJobs({ client, cluster, kinds: jobKinds, pods, log, ...watched });
      const plugins = [
        sleepPlugin({ objectStore: objects }),
        podPlugin(parts),
        jobPlugin({ ...parts, kinds: jobKinds, jobs, jobConfig: config.jobs }),
      ];
      if (config.connectors.length > 0) {
        const { connectors } = config;
        plugins.push(
          connectorPlugin({ connectors, objectStore: objects, secrets, taskEnvironment: parts.taskEnvironment, log }),
        );
      }
      await executor({
        cluster,
        clusterUid,
        name,
        kind: "kubernetes",
        version: VERSION,
        link,
        store,
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

/** Where actions live: in the executor's namespace, or in one for each project and domain, which is made when needed. */
function placesOf({ config, client, namespace, log }: KubernetesDataPlaneOptions) {
  const { namespaceMode, namespaceTemplate, namespaceDefaults } = config;
  if (namespaceMode === "single") {
    const { namespaceFor } = namespaceMap({ mode: "single", namespace });
    return { namespaceFor, namespaces: [namespace] };
  }
  const { namespaceFor } = namespaceMap({ mode: "template", template: namespaceTemplate, reserved: [namespace] });
  const { quota, serviceAccount } = namespaceDefaults;
  const keeper = namespaceKeeper({
    client,
    log,
    ...(Object.keys(quota).length > 0 && { quota }),
    ...(serviceAccount && { serviceAccount }),
  });
  return { namespaceFor, prepareNamespace: keeper.prepare };
}

/** What tasks are told of this server; `secret` is what no pod may show. */
function taskVariables(config: ExecutorConfig, store: Config["objectStore"]) {
  const { taskObjectStoreEndpoint: endpoint, taskEndpoint: server = config.controlPlane } = config;
  const all = storeEnvironment({ ...store, ...(endpoint && { endpoint }) });
  const isSecret = ([variable]: [string, string]) => /KEY/.test(variable);
  const entries = Object.entries(all);
  return {
    open: { ...taskEndpoint(server), ...Object.fromEntries(entries.filter((entry) => !isSecret(entry))) },
    secret: Object.fromEntries(entries.filter(isSecret)),
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
