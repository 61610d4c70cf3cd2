/** What a JobSet's status says. Pure. */
import { dateOf } from "../../pod/times.ts";
import type { JobObject, JobSeen } from "../kind.ts";
import { type Condition, holding, jobError } from "../status.ts";

interface Status {
  conditions?: Condition[];
  restarts?: number;
  replicatedJobsStatus?: { ready?: number; active?: number; succeeded?: number; failed?: number; suspended?: number }[];
}

export function observeJobSet(job: JobObject): JobSeen {
  const status = (job.status ?? {}) as Status;
  const { conditions = [], replicatedJobsStatus: jobs = [], restarts = 0 } = status;
  const done = holding(conditions, "Completed");
  if (done) return { kind: "succeeded", at: dateOf(done.lastTransitionTime) };
  const failed = holding(conditions, "Failed");
  if (failed) return { kind: "failed", at: dateOf(failed.lastTransitionTime), error: jobError(job, failed) };
  const held = holding(conditions, "Suspended");
  if (held || job.spec.suspend === true) {
    return { kind: "suspended", message: held?.message ?? "the JobSet is suspended" };
  }
  if (conditions.length === 0 && jobs.length === 0) return { kind: "silent" };
  // A job is ready when all of its pods are.
  const begun = jobs.some(({ ready = 0, succeeded = 0, failed = 0 }) => ready + succeeded + failed > 0);
  return restarts > 0 || begun ? { kind: "running" } : { kind: "starting" };
}

/** A failure need not be its end; what its rules are about is theirs to say. */
export function mayRestart({ spec, status }: JobObject): boolean {
  const policy = spec.failurePolicy as { maxRestarts?: number; rules?: unknown[] } | undefined;
  const { restarts = 0 } = (status ?? {}) as Status;
  return (policy?.rules ?? []).length > 0 || restarts < (policy?.maxRestarts ?? 0);
}
