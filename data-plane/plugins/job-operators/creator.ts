/** Reads what a job needs, builds it, and creates it; says what it means when the API server does not take it. */
import { isKubernetesError, type KubernetesError } from "@flyte-ts/platform/kubernetes";
import type { AttemptContext, AttemptError } from "../../executor/index.ts";
import { BadSpecError } from "../pod/bad-spec.ts";
import { ATTEMPT_KEY, CLUSTER } from "../pod/labels.ts";
import { podParts } from "../pod/parts.ts";
import { type Verdict, verdictOn } from "../pod/refusal.ts";
import { buildJob, type JobObjects } from "./build.ts";
import type { JobKind, JobObject } from "./kind.ts";
import type { JobOptions } from "./options.ts";

export type Created = { kind: "created"; job: JobObject; secret: string } | Verdict;

/** Trouble that may pass is thrown. */
export function creator(options: JobOptions): (kind: JobKind, context: AttemptContext) => Promise<Created> {
  const partsFor = podParts(options);

  return async function create(kind, context) {
    let objects: JobObjects;
    try {
      objects = buildJob(kind, await partsFor(context), options.jobConfig);
    } catch (error) {
      if (error instanceof BadSpecError) return { kind: "fail", error: error.attemptError };
      throw error;
    }
    try {
      const job = await options.jobs.create(kind, objects);
      return isOurs(job, context.key, options.cluster)
        ? { kind: "created", job, secret: objects.secret?.metadata.name ?? "" }
        : { kind: "fail", error: taken(kind, job) };
    } catch (error) {
      const verdict = isKubernetesError(error) ? jobVerdict(kind, error) : undefined;
      if (!verdict) throw error;
      return verdict;
    }
  };
}

/** Made by an executor of this cluster, for this attempt. */
export function isOurs({ metadata }: JobObject, key: string, cluster: string): boolean {
  return metadata.annotations?.[ATTEMPT_KEY] === key && metadata.labels?.[CLUSTER] === cluster;
}

/** As for pods, and what only jobs can meet: an operator that is not installed, not ready, or not allowed. */
export function jobVerdict(kind: JobKind, error: KubernetesError): Verdict | undefined {
  if (error.reason === "NotFound" && !/^namespaces "/.test(error.said)) return { kind: "fail", error: missing(kind) };
  // Its operator checks the object before it is taken, and does not answer.
  if (error.reason === "InternalError" && /failed calling webhook/.test(error.said)) {
    return { kind: "wait", reason: "OperatorNotReady", message: `${kind.operator} gives no answer: ${error.said}` };
  }
  const verdict = verdictOn(error);
  if (verdict?.kind === "fail" && verdict.error.code === "Forbidden") {
    return { kind: "fail", error: { ...verdict.error, recoverable: false } };
  }
  return verdict;
}

function missing({ kind, operator, resource: { group, version, plural } }: JobKind): AttemptError {
  const message = `this cluster knows no ${kind}: its CustomResourceDefinition ${plural}.${group} is not installed, or not in version ${version}; install ${operator}, or send the task to a cluster that has it`;
  return { code: "OperatorMissing", message, kind: "system", recoverable: false };
}

function taken({ kind }: JobKind, { metadata }: JobObject): AttemptError {
  const message = `the ${kind} ${metadata.name} in namespace ${metadata.namespace} exists and belongs to something else: give every executor namespaces or a cluster of its own`;
  return { code: "NameTaken", message, kind: "system", recoverable: true };
}
