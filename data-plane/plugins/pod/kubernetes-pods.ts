/**
 * Pods of a real cluster: calls for what is done, live copies for what is seen.
 *
 *     const pods = kubernetesPods({ client, cluster: "east", namespaces: ["flyte"], log });
 *
 * Promise: `get` answers from the live copy and asks the API server for what that does not know (yet).
 */
import {
  isKubernetesError,
  type KubeObject,
  type KubernetesClient,
  type ListWatch,
  listWatch,
  type Resource,
} from "@flyte-ts/platform/kubernetes";
import type { Log } from "../../executor/index.ts";
import { CLUSTER, MANAGED } from "./labels.ts";
import { labelValue } from "./names.ts";
import type { KubeEvent, Pod, SecretObject } from "./objects.ts";
import type { PodAddress, Pods, Removal } from "./pods.ts";

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
  const events = core<KubeEvent>(client, "events");
  const labelSelector = `${MANAGED}=true,${CLUSTER}=${labelValue(cluster)}`;
  /** By the pod's uid; gone with the pod. */
  const told = new Map<string, Map<string, KubeEvent>>();
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

  /** Also of pods that are not known yet: nothing orders the two watches. */
  function remember(event: KubeEvent): void {
    const uid = event.involvedObject?.uid ?? "";
    const ofPod = told.get(uid) ?? new Map<string, KubeEvent>();
    told.set(uid, ofPod.set(event.metadata.name, event));
  }

  function forget(event: KubeEvent): void {
    const uid = event.involvedObject?.uid ?? "";
    const ofPod = told.get(uid);
    if (ofPod?.delete(event.metadata.name) && ofPod.size === 0) told.delete(uid);
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
    async delete({ namespace, name, graceSeconds, secret }: Removal) {
      await unless("NotFound", pods.delete(name, { namespace, gracePeriodSeconds: graceSeconds }));
      if (secret) await unless("NotFound", secrets.delete(name, { namespace }));
    },
    events: (pod) => [...(told.get(pod.metadata.uid ?? "")?.values() ?? [])],
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
          onEvent(event) {
            if (event.type === "synced") return;
            if (event.type === "deleted") told.delete(event.object.metadata.uid ?? "");
            tell(event.object);
          },
        }),
      );
      const ofEvents = scopes().map((scope) =>
        listWatch<KubeEvent>({
          ...scope,
          resource: events,
          fieldSelector: "involvedObject.kind=Pod",
          log,
          prune: essence,
          onEvent(event) {
            if (event.type === "synced") return;
            if (event.type === "deleted") return forget(event.object);
            remember(event.object);
            const { namespace = "", name = "" } = event.object.involvedObject ?? {};
            changed({ namespace, name });
          },
        }),
      );
      await Promise.all([...watches, ...ofEvents].map((watch) => watch.run(signal)));
    },
  };
}

function core<T extends KubeObject>(client: KubernetesClient, plural: string): Resource<T> {
  return client.resource<T>({ group: "", version: "v1", plural, namespaced: true });
}

/** There are many events, of other people's pods too. */
function essence({ metadata, ...event }: KubeEvent): KubeEvent {
  const { name, namespace, uid, resourceVersion, creationTimestamp } = metadata;
  const { involvedObject, type, reason, message, count, series, source, reportingComponent } = event;
  const times = {
    firstTimestamp: event.firstTimestamp,
    lastTimestamp: event.lastTimestamp,
    eventTime: event.eventTime,
  };
  const pod = { namespace: involvedObject?.namespace, name: involvedObject?.name, uid: involvedObject?.uid };
  return defined({
    metadata: defined({ name, namespace, uid, resourceVersion, creationTimestamp }),
    involvedObject: defined(pod),
    ...{ type, reason, message, count, series, source, reportingComponent },
    ...times,
  });
}

/** Without the fields that are undefined. */
function defined<T extends object>(fields: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as never;
}

/** Undefined when the call is refused for this reason. */
async function unless<T>(reason: "NotFound" | "AlreadyExists", call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (isKubernetesError(error, reason)) return undefined;
    throw error;
  }
}
