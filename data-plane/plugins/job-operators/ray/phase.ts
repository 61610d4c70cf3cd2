/** What a RayJob's status says. Pure. */
import type { AttemptError } from "../../../executor/index.ts";
import { dateOf } from "../../pod/times.ts";
import type { JobObject, JobSeen } from "../kind.ts";
import { jobError, outOfTime } from "../status.ts";

interface Status {
  jobDeploymentStatus?: string;
  jobStatus?: string;
  reason?: string;
  message?: string;
  startTime?: string | null;
  endTime?: string | null;
  rayJobInfo?: { startTime?: string | null; endTime?: string | null };
}

export function observeRayJob(job: JobObject): JobSeen {
  const status = (job.status ?? {}) as Status;
  const { jobDeploymentStatus = "", jobStatus = "", reason = "", message = "", rayJobInfo: info } = status;
  const startedAt = dateOf(info?.startTime);
  const at = dateOf(info?.endTime ?? status.endTime);
  const failed = (error: AttemptError): JobSeen & { kind: "failed" } => ({ kind: "failed", startedAt, at, error });
  switch (jobDeploymentStatus) {
    case "":
      return job.spec.suspend === true ? { kind: "suspended", message: "the RayJob is suspended" } : { kind: "silent" };
    case "Suspending":
    case "Suspended":
      return { kind: "suspended", message: "the RayJob is suspended" };
    case "Initializing":
      return { kind: "starting" };
    case "Complete":
      // Complete is what its operator has done with it: the task itself may have failed.
      if (jobStatus === "FAILED") return failed(jobError(job, { reason: "AppFailed", message }, final));
      if (jobStatus === "STOPPED") return failed(jobError(job, { reason: "Stopped", message }, systems));
      return { kind: "succeeded", startedAt, at };
    case "Failed":
      if (reason === "DeadlineExceeded") {
        return { kind: "failed", startedAt, at, phase: "timedOut", error: outOfTime(job, message) };
      }
      return failed(jobError(job, { reason, message }, worlds.has(reason) ? systems : final));
    case "ValidationFailed":
      return { ...failed(jobError(job, { reason: reason || "ValidationFailed", message }, final)), final: true };
    // Running, Waiting, Retrying, and what later operators may say on the way.
    default:
      return { kind: "running", startedAt: startedAt ?? dateOf(status.startTime) };
  }
}

/** The task's own failure: without an error.pb that says otherwise, another try would fail too. */
const final = { kind: "user", recoverable: false } as const;
const systems = { kind: "system", recoverable: true } as const;
/** Ray or its operator did not get the task to run. */
const worlds: ReadonlySet<string> = new Set(["SubmissionFailed", "JobDeploymentStatusTransitionGracePeriodExceeded"]);
