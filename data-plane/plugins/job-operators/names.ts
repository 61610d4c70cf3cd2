/** Names and labels of jobs and their pods. Pure and deterministic, like those of pods. */
import { createHash } from "node:crypto";
import type { ActionRef } from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";
import { podName } from "../pod/names.ts";

/** On the job and each of its pods: the job's name. */
export const JOB = "flyte.org/job";
/** On a pod: what it is in its job. */
export const ROLE = "flyte.org/job-role";

/** Annotation of a job: the Secret that goes with it. */
export const SECRET = "flyte.org/secret";

/**
 * The name of an attempt's job: the one a pod would have, if it is short enough and may be the name of a service; else
 * one with a hash, as unique.
 *
 * @example jobName(ref, 1, 47) // "r1-a0-7-0"
 */
export function jobName(ref: ActionRef, attempt: number, max: number): string {
  const plain = podName(ref, attempt);
  if (plain.length <= max && /^[a-z]/.test(plain)) return plain;
  const hash = createHash("sha256").update(plain).digest("hex").slice(0, 10);
  const tail = `${hash}-${attempt - 1}`;
  const head = `j-${ref.run.toLowerCase().replace(/[^-a-z0-9]+/g, "-")}`.slice(0, max - tail.length - 1);
  return `${head.replace(/-+$/, "")}-${tail}`;
}
