/** Reads what a pod needs, builds it, and creates it. */
import { isKubernetesError } from "@flyte-ts/platform/kubernetes";
import type { AttemptContext, AttemptError } from "../../executor/index.ts";
import { BadSpecError } from "./bad-spec.ts";
import { buildPod, type PodObjects } from "./build.ts";
import { ATTEMPT_KEY, CLUSTER, PRIMARY } from "./labels.ts";
import type { Pod } from "./objects.ts";
import type { PodOptions } from "./options.ts";
import { podParts } from "./parts.ts";
import { verdictOn } from "./refusal.ts";

export type Created =
  | { kind: "created"; pod: Pod; secret: boolean; primary: string }
  | { kind: "wait"; reason: string; message: string }
  | { kind: "fail"; error: AttemptError };

/** Trouble that may pass is thrown. */
export function creator(options: PodOptions): (context: AttemptContext) => Promise<Created> {
  const { pods } = options;
  const partsFor = podParts(options);

  return async function create(context) {
    let objects: PodObjects;
    try {
      objects = buildPod(await partsFor(context));
    } catch (error) {
      if (error instanceof BadSpecError) return { kind: "fail", error: error.attemptError };
      throw error;
    }
    const secret = objects.secret !== undefined;
    const primary = objects.pod.metadata.annotations?.[PRIMARY] ?? "";
    try {
      const pod = await pods.create(objects);
      return isOurs(pod, context.key, options.cluster)
        ? { kind: "created", pod, secret, primary }
        : { kind: "fail", error: taken(pod) };
    } catch (error) {
      const verdict = isKubernetesError(error) ? verdictOn(error) : undefined;
      if (!verdict) throw error;
      return verdict;
    }
  };
}

/** Made by an executor of this cluster, for this attempt. */
export function isOurs(pod: Pod, key: string, cluster: string): boolean {
  const { annotations, labels } = pod.metadata;
  return annotations?.[ATTEMPT_KEY] === key && labels?.[CLUSTER] === cluster;
}

function taken({ metadata }: Pod): AttemptError {
  const message = `the pod ${metadata.name} in namespace ${metadata.namespace} exists and belongs to something else: give every executor namespaces or a cluster of its own`;
  return { code: "NameTaken", message, kind: "system", recoverable: true };
}
