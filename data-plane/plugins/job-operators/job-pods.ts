/** The pods that operators made of jobs, followed live and found by their job. */
import { type KubernetesClient, type ListWatch, listWatch } from "@flyte-ts/platform/kubernetes";
import type { Log } from "../../executor/index.ts";
import type { Pod } from "../pod/objects.ts";
import type { PodAddress } from "../pod/pods.ts";
import { unless } from "../pod/unless.ts";
import type { JobAddress } from "./jobs.ts";
import { JOB } from "./names.ts";

export interface JobPodsOptions {
  client: KubernetesClient;
  /** What all objects of the executor carry. */
  labelSelector: string;
  scopes: readonly { namespace?: string }[];
  log: Log;
}

export interface JobPods {
  of(job: JobAddress, now: boolean): Promise<readonly Pod[]>;
  end(address: PodAddress, graceSeconds: number): Promise<void>;
  run(changed: (job: PodAddress) => void, signal: AbortSignal): Promise<void>;
}

export function jobPods({ client, labelSelector, scopes, log }: JobPodsOptions): JobPods {
  const resource = client.resource<Pod>({ group: "", version: "v1", plural: "pods", namespaced: true });
  /** By `namespace/job`, then by name. */
  const known = new Map<string, Map<string, Pod>>();
  let synced = 0;

  function take(pod: Pod, gone: boolean): PodAddress {
    const { namespace = "", name, labels } = pod.metadata;
    const job = labels?.[JOB] ?? "";
    const key = `${namespace}/${job}`;
    const pods = known.get(key) ?? new Map<string, Pod>();
    if (gone) pods.delete(name);
    else pods.set(name, pod);
    if (pods.size > 0) known.set(key, pods);
    else known.delete(key);
    return { namespace, name: job };
  }

  async function list({ namespace, name }: JobAddress): Promise<Pod[]> {
    const found: Pod[] = [];
    for (let next: string | undefined; ; ) {
      const selector = `${labelSelector},${JOB}=${name}`;
      const page = await resource.list({
        namespace,
        labelSelector: selector,
        limit: 500,
        ...(next ? { continue: next } : {}),
      });
      found.push(...page.items);
      next = page.metadata.continue || undefined;
      if (next === undefined) return found;
    }
  }

  return {
    async of(job, now) {
      if (now || synced < scopes.length) return list(job);
      return [...(known.get(`${job.namespace}/${job.name}`)?.values() ?? [])];
    },
    async end({ namespace, name }, graceSeconds) {
      await unless("NotFound", resource.delete(name, { namespace, gracePeriodSeconds: graceSeconds }));
    },
    async run(changed, signal) {
      const watches: ListWatch<Pod>[] = scopes.map((scope) =>
        listWatch<Pod>({
          ...scope,
          resource,
          labelSelector: `${labelSelector},${JOB}`,
          log,
          onEvent(event) {
            if (event.type !== "synced") changed(take(event.object, event.type === "deleted"));
          },
        }),
      );
      for (const watch of watches)
        watch.whenSynced().then(
          () => (synced += 1),
          () => {},
        );
      await Promise.all(watches.map((watch) => watch.run(signal)));
    },
  };
}
