/**
 * Jobs of a real cluster: calls for what is done, live copies for what is seen.
 *
 *     const jobs = kubernetesJobs({ client, cluster: "east", kinds: jobKinds, pods, namespaces: ["flyte"], log });
 *
 * Promise: `get` answers from the live copy and asks the API server for what that does not know (yet). A kind whose
 * operator is not installed costs a question now and then; it is told as lacking, and followed from when it is there.
 */
import {
  isKubernetesError,
  type KubernetesClient,
  type ListWatch,
  listWatch,
  type Resource,
} from "@flyte-ts/platform/kubernetes";
import { type Log, pause } from "../../executor/index.ts";
import { type KubeEvents, kubeEvents } from "../pod/kube-events.ts";
import { CLUSTER, MANAGED } from "../pod/labels.ts";
import { labelValue } from "../pod/names.ts";
import type { SecretObject } from "../pod/objects.ts";
import type { PodAddress, Pods } from "../pod/pods.ts";
import { isPassing } from "../pod/refusal.ts";
import { unless } from "../pod/unless.ts";
import { type JobPods, jobPods } from "./job-pods.ts";
import type { Jobs } from "./jobs.ts";
import type { JobKind, JobObject } from "./kind.ts";
import { type Answer, kindPresence } from "./kind-presence.ts";

export interface KubernetesJobsOptions {
  client: KubernetesClient;
  /** The executor's, as the control plane calls it: jobs of other clusters' executors are not seen. */
  cluster: string;
  kinds: readonly JobKind[];
  /** The pod plugin's: it knows the events of pods already. */
  pods: Pick<Pods, "events">;
  /** Watched one by one; all of them when absent, which needs rights in the whole cluster. */
  namespaces?: readonly string[];
  log: Log;
  /** How often the cluster is asked which kinds it has; 60 s. */
  lookMs?: number;
}

const LOOK_MS = 60_000;
const AWAY_MS = 2_000;

interface Followed {
  resource: Resource<JobObject>;
  watches: readonly ListWatch<JobObject>[];
  events: KubeEvents;
  /** Looks again at once. */
  look: () => void;
}

export function kubernetesJobs(options: KubernetesJobsOptions): Jobs {
  const { client, cluster, namespaces, log, lookMs = LOOK_MS } = options;
  const labelSelector = `${MANAGED}=true,${CLUSTER}=${labelValue(cluster)}`;
  const scopes: { namespace?: string }[] = namespaces?.map((namespace) => ({ namespace })) ?? [{}];
  const secrets = client.resource<SecretObject>({ group: "", version: "v1", plural: "secrets", namespaced: true });
  const pods: JobPods = jobPods({ client, labelSelector, scopes, log });
  const followed = new Map(options.kinds.map((kind) => [kind, followedOf(kind)]));
  const presence = kindPresence(options.kinds, log);
  let tell: (job: PodAddress) => void = () => {};

  function followedOf(kind: JobKind): Followed {
    const resource = client.resource<JobObject>({ ...kind.resource, namespaced: true });
    const events = kubeEvents({ client, ...(namespaces ? { namespaces } : {}), kind: kind.kind, log });
    const watches = scopes.map((scope) =>
      listWatch<JobObject>({
        ...scope,
        resource,
        labelSelector,
        log,
        onEvent(event) {
          if (event.type === "synced") return;
          const { namespace = "", name, uid } = event.object.metadata;
          if (event.type === "deleted") events.forget(uid);
          tell({ namespace, name });
        },
      }),
    );
    return { resource, watches, events, look: () => {} };
  }

  function of(kind: JobKind): Followed {
    const found = followed.get(kind);
    if (!found) throw new Error(`the kind ${kind.kind} is not among those that are followed: add it to \`kinds\``);
    return found;
  }

  /** Whether the cluster has the kind, and lets this executor see it. */
  async function canFollow(kind: JobKind, signal: AbortSignal): Promise<Answer> {
    try {
      for (const scope of scopes) await of(kind).resource.list({ ...scope, limit: 1, signal });
      return "yes";
    } catch (error) {
      if (isKubernetesError(error, "NotFound")) return "unknown";
      if (isKubernetesError(error, "Forbidden")) return "forbidden";
      throw error;
    }
  }

  /** Operators come and go. A watch of what is unknown, or forbidden, would be refused again and again. */
  async function follow(kind: JobKind, signal: AbortSignal): Promise<void> {
    const its = of(kind);
    let watching: { stop: AbortController; done: Promise<unknown> } | undefined;
    let broken: { error: unknown } | undefined;
    function watch() {
      const stop = new AbortController();
      const until = AbortSignal.any([signal, stop.signal]);
      const parts = [...its.watches.map((one) => one.run(until)), its.events.run((job) => tell(job), until)];
      const done = Promise.all(parts).catch((error) => {
        broken = { error };
        its.look();
      });
      return { stop, done };
    }
    while (!signal.aborted && !broken) {
      let after = lookMs;
      const looked = new AbortController();
      its.look = () => looked.abort();
      try {
        const can = await canFollow(kind, signal);
        presence.tell(kind, can);
        if (can === "yes") watching ??= watch();
        else {
          watching?.stop.abort();
          await watching?.done;
          watching = undefined;
        }
      } catch (error) {
        if (signal.aborted) break;
        presence.tell(kind, "unasked");
        log.warn({ kind: kind.kind, err: error }, "whether the cluster has a kind of job cannot be asked");
        after = AWAY_MS;
      }
      await pause(after, AbortSignal.any([signal, looked.signal]));
    }
    await watching?.done;
    if (broken) throw broken.error;
  }

  return {
    async get(kind, { namespace, name, uid }) {
      const { watches, resource } = of(kind);
      for (const { objects } of watches) {
        const job = objects.get(`${namespace}/${name}`);
        if (job && (uid === undefined || job.metadata.uid === uid)) return job;
      }
      return unless("NotFound", resource.get(name, { namespace }));
    },
    async create(kind, { job, secret }) {
      const { resource, look } = of(kind);
      const { namespace = client.namespace, name } = job.metadata;
      const made = secret && (await unless("AlreadyExists", secrets.create(secret)));
      let created: JobObject;
      try {
        created = (await unless("AlreadyExists", resource.create(job))) ?? (await resource.get(name, { namespace }));
      } catch (error) {
        // Nobody would look for the Secret of a job that is refused.
        if (made && !isPassing(error)) await unless("NotFound", secrets.delete(made.metadata.name, { namespace }));
        throw error;
      }
      if (presence.lacks(kind)) look();
      return created;
    },
    async delete(kind, { namespace, name, secret }) {
      await unless("NotFound", of(kind).resource.delete(name, { namespace, propagation: "Background" }));
      if (secret !== "") await unless("NotFound", secrets.delete(secret, { namespace }));
    },
    pods: (address, how) => pods.of(address, how?.now ?? false),
    endPod: pods.end,
    async events(kind, job, its) {
      const ofPods = await Promise.all(its.map((pod) => options.pods.events(pod)));
      return [...of(kind).events.of(job.metadata.uid), ...ofPods.flat()];
    },
    async list(kind) {
      const { resource } = of(kind);
      const found: JobObject[] = [];
      for (const scope of scopes) {
        for (let next: string | undefined; ; ) {
          const ask = { ...scope, labelSelector, limit: 500, ...(next ? { continue: next } : {}) };
          const page = await unless("Forbidden", unless("NotFound", resource.list(ask)));
          found.push(...(page?.items ?? []));
          next = page?.metadata.continue || undefined;
          if (next === undefined) break;
        }
      }
      return found;
    },
    lacking: presence.lacking,
    onLacking: presence.onChange,
    async run(changed, signal) {
      tell = changed;
      await Promise.all([pods.run(changed, signal), ...options.kinds.map((kind) => follow(kind, signal))]);
    },
  };
}
