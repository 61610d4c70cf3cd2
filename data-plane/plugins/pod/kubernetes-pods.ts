/**
 * Pods of a real cluster: calls for what is done, live copies for what is seen.
 *
 *     const pods = kubernetesPods({ client, cluster: "east", namespaces: ["flyte"], log });
 *
 * Promise: `get` answers from the live copy and asks the API server for what that does not know (yet). A live copy holds
 * of a pod's spec only what tells how it runs.
 */
import {
  type KubeObject,
  type KubernetesClient,
  type ListWatch,
  listWatch,
  type OwnerReference,
  type Resource,
} from "@flyte-ts/platform/kubernetes";
import type { Log } from "../../executor/index.ts";
import { kubeEvents } from "./kube-events.ts";
import { CLUSTER, MANAGED } from "./labels.ts";
import { labelValue } from "./names.ts";
import type { Container, Pod, PodSpec, SecretObject } from "./objects.ts";
import type { PodAddress, Pods, Removal } from "./pods.ts";
import { unless } from "./unless.ts";

/** What stands for an attempt in the cluster; what is said of it is said of its pod. */
const OWNER = "TaskAction";

export interface KubernetesPodsOptions {
  client: KubernetesClient;
  /** The executor's, as the control plane calls it: pods of other clusters' executors are not seen. */
  cluster: string;
  /** Watched one by one; all of them when absent, which needs the right to watch pods of the whole cluster. */
  namespaces?: readonly string[];
  log: Log;
}

export function kubernetesPods({ client, cluster, namespaces, log }: KubernetesPodsOptions): Pods {
  const pods = core<Pod>(client, "pods");
  const secrets = core<SecretObject>(client, "secrets");
  const told = { client, ...(namespaces ? { namespaces } : {}), log };
  const events = kubeEvents({ ...told, kind: "Pod" });
  const ownerEvents = kubeEvents({ ...told, kind: OWNER });
  const labelSelector = `${MANAGED}=true,${CLUSTER}=${labelValue(cluster)}`;
  let watches: ListWatch<Pod>[] = [];

  const scopes = (): { namespace?: string }[] => namespaces?.map((namespace) => ({ namespace })) ?? [{}];

  function known({ namespace, name }: PodAddress): Pod | undefined {
    for (const watch of watches) {
      const pod = watch.objects.get(`${namespace}/${name}`);
      if (pod) return pod;
    }
    return undefined;
  }

  async function get({ namespace, name, uid }: PodAddress & { uid?: string }): Promise<Pod | undefined> {
    const pod = known({ namespace, name });
    if (pod && (uid === undefined || pod.metadata.uid === uid)) return pod;
    return unless("NotFound", pods.get(name, { namespace }));
  }

  return {
    get,
    async create({ pod, secret }) {
      if (secret) await unless("AlreadyExists", secrets.create(secret));
      const created = await unless("AlreadyExists", pods.create(pod));
      if (created) return created;
      const { namespace = client.namespace, name } = pod.metadata;
      return pods.get(name, { namespace });
    },
    async annotate({ namespace, name, uid }, annotations) {
      const patch = pods.patch(name, { metadata: { uid, annotations } }, { namespace });
      // Of another uid: Conflict.
      await unless("Conflict", unless("NotFound", patch));
    },
    async delete({ namespace, name, graceSeconds, secret }: Removal) {
      await unless("NotFound", pods.delete(name, { namespace, gracePeriodSeconds: graceSeconds }));
      if (secret) await unless("NotFound", secrets.delete(name, { namespace }));
    },
    events: (pod) => [...events.of(pod.metadata.uid), ...ownersOf(pod).flatMap(({ uid }) => ownerEvents.of(uid))],
    async list() {
      const found: Pod[] = [];
      for (const scope of scopes()) {
        for (let next: string | undefined; ; ) {
          const page = await pods.list({ ...scope, labelSelector, limit: 500, ...(next ? { continue: next } : {}) });
          found.push(...page.items);
          next = page.metadata.continue || undefined;
          if (next === undefined) break;
        }
      }
      return found;
    },
    async run(changed, signal) {
      const tell = ({ metadata }: KubeObject) => {
        if (metadata.namespace) changed({ namespace: metadata.namespace, name: metadata.name });
      };
      watches = scopes().map((scope) =>
        listWatch<Pod>({
          ...scope,
          resource: pods,
          labelSelector,
          log,
          prune: essence,
          onEvent(event) {
            if (event.type === "synced") return;
            if (event.type === "deleted") events.forget(event.object.metadata.uid);
            tell(event.object);
          },
        }),
      );
      const ownerChanged = ({ namespace = "", name }: PodAddress) => {
        for (const { objects } of watches) {
          for (const pod of objects.values()) {
            if (pod.metadata.namespace === namespace && ownersOf(pod).some((owner) => owner.name === name)) tell(pod);
          }
        }
      };
      const followed = [events.run(changed, signal), ownerEvents.run(ownerChanged, signal)];
      await Promise.all([...watches.map((watch) => watch.run(signal)), ...followed]);
    },
  };
}

/** What a pod was started with is more than half of it, and is not looked at again. */
function essence(pod: Pod): Pod {
  const { containers, initContainers, nodeName, hostname, restartPolicy, activeDeadlineSeconds } = pod.spec;
  const lean = (one: Container): Container => ({
    name: one.name,
    ...(one.restartPolicy !== undefined && { restartPolicy: one.restartPolicy }),
  });
  const spec: PodSpec = {
    containers: containers.map(lean),
    ...(initContainers && { initContainers: initContainers.map(lean) }),
    ...(nodeName !== undefined && { nodeName }),
    ...(hostname !== undefined && { hostname }),
    ...(restartPolicy !== undefined && { restartPolicy }),
    ...(activeDeadlineSeconds !== undefined && { activeDeadlineSeconds }),
  };
  return { ...pod, spec };
}

function ownersOf({ metadata }: Pod): readonly OwnerReference[] {
  return (metadata.ownerReferences ?? []).filter(({ kind }) => kind === OWNER);
}

function core<T extends KubeObject>(client: KubernetesClient, plural: string): Resource<T> {
  return client.resource<T>({ group: "", version: "v1", plural, namespaced: true });
}
