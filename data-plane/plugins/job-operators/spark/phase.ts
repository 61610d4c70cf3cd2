/** What a SparkApplication's status says. Pure. */
import { dateOf } from "../../pod/times.ts";
import type { JobObject, JobSeen } from "../kind.ts";
import { jobError } from "../status.ts";

interface Status {
  applicationState?: { state?: string; errorMessage?: string };
  lastSubmissionAttemptTime?: string | null;
  terminationTime?: string | null;
}

export function observeSparkApplication(job: JobObject): JobSeen {
  const status = (job.status ?? {}) as Status;
  const { state = "", errorMessage: message = "" } = status.applicationState ?? {};
  const at = dateOf(status.terminationTime);
  switch (state) {
    case "":
      return job.spec.suspend === true
        ? { kind: "suspended", message: "the SparkApplication is suspended" }
        : { kind: "silent" };
    case "SUSPENDING":
    case "SUSPENDED":
      return { kind: "suspended", message: "the SparkApplication is suspended" };
    case "SUBMITTED":
    case "PENDING_SUBMISSION":
    case "PENDING_RERUN":
    case "RESUMING":
      return { kind: "starting" };
    case "COMPLETED":
      return { kind: "succeeded", at };
    case "SUBMISSION_FAILED":
      // No driver was made: the task never ran.
      return {
        kind: "failed",
        at,
        error: jobError(job, { reason: "SubmissionFailed", message }, { kind: "system", recoverable: true }),
      };
    case "FAILED":
      return { kind: "failed", at, error: jobError(job, { reason: "ApplicationFailed", message }) };
    // RUNNING, and on the way to an end: SUCCEEDING, FAILING, INVALIDATING, UNKNOWN.
    default:
      return { kind: "running", startedAt: undefined };
  }
}
