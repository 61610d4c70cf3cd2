/**
 * The events that Kubernetes and operators write about objects of one kind, followed live and kept by the object's uid.
 *
 * Promise: what is known is answered at once; what expired in the cluster is forgotten here.
 */
import { type KubernetesClient, listWatch } from "@flyte-ts/platform/kubernetes";
import type { Log } from "../../executor/index.ts";
import type { KubeEvent } from "./objects.ts";
import type { PodAddress } from "./pods.ts";

export interface KubeEventsOptions {
  client: KubernetesClient;
  /** All of them when absent. */
  namespaces?: readonly string[];
  /** `Pod`, `RayJob`, … */
  kind: string;
  log: Log;
}

export interface KubeEvents {
  of(uid: string | undefined): readonly KubeEvent[];
  forget(uid: string | undefined): void;
  run(changed: (about: PodAddress) => void, signal: AbortSignal): Promise<void>;
}

export function kubeEvents({ client, namespaces, kind, log }: KubeEventsOptions): KubeEvents {
  const resource = client.resource<KubeEvent>({ group: "", version: "v1", plural: "events", namespaced: true });
  /** Also of objects that are not known yet: nothing orders two watches. */
  const told = new Map<string, Map<string, KubeEvent>>();

  function remember(event: KubeEvent): void {
    const uid = event.involvedObject?.uid ?? "";
    const ofObject = told.get(uid) ?? new Map<string, KubeEvent>();
    told.set(uid, ofObject.set(event.metadata.name, event));
  }

  function expired(event: KubeEvent): void {
    const uid = event.involvedObject?.uid ?? "";
    const ofObject = told.get(uid);
    if (ofObject?.delete(event.metadata.name) && ofObject.size === 0) told.delete(uid);
  }

  return {
    of: (uid) => [...(told.get(uid ?? "")?.values() ?? [])],
    forget: (uid) => void told.delete(uid ?? ""),
    async run(changed, signal) {
      const scopes: { namespace?: string }[] = namespaces?.map((namespace) => ({ namespace })) ?? [{}];
      const watches = scopes.map((scope) =>
        listWatch<KubeEvent>({
          ...scope,
          resource,
          fieldSelector: `involvedObject.kind=${kind}`,
          log,
          prune: essence,
          onEvent(event) {
            if (event.type === "synced") return;
            if (event.type === "deleted") return expired(event.object);
            remember(event.object);
            const { namespace = "", name = "" } = event.object.involvedObject ?? {};
            changed({ namespace, name });
          },
        }),
      );
      await Promise.all(watches.map((watch) => watch.run(signal)));
    },
  };
}

/** There are many events, of other people's objects too. */
function essence({ metadata, ...event }: KubeEvent): KubeEvent {
  const { name, namespace, uid, resourceVersion, creationTimestamp } = metadata;
  const { involvedObject, type, reason, message, count, series, source, reportingComponent } = event;
  const times = {
    firstTimestamp: event.firstTimestamp,
    lastTimestamp: event.lastTimestamp,
    eventTime: event.eventTime,
  };
  const about = { namespace: involvedObject?.namespace, name: involvedObject?.name, uid: involvedObject?.uid };
  return defined({
    metadata: defined({ name, namespace, uid, resourceVersion, creationTimestamp }),
    involvedObject: defined(about),
    ...{ type, reason, message, count, series, source, reportingComponent },
    ...times,
  });
}

/** Without the fields that are undefined. */
function defined<T extends object>(fields: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as never;
}
