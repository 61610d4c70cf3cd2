/** What a DaskJob's status says. Pure. */
import { dateOf } from "../../pod/times.ts";
import type { JobObject, JobSeen } from "../kind.ts";
import { jobError } from "../status.ts";

interface Status {
  jobStatus?: string | null;
  startTime?: string | null;
  endTime?: string | null;
}

export function observeDaskJob(job: JobObject): JobSeen {
  const { jobStatus, ...status } = (job.status ?? {}) as Status;
  const startedAt = dateOf(status.startTime);
  const at = dateOf(status.endTime);
  switch (jobStatus ?? "") {
    case "":
      return { kind: "silent" };
    case "JobCreated":
    case "ClusterCreated":
      return { kind: "starting" };
    case "Successful":
      return { kind: "succeeded", startedAt, at };
    case "Failed":
      return { kind: "failed", startedAt, at, error: jobError(job, { message: "its runner failed" }) };
    // Running, and what later operators may say on the way.
    default:
      return { kind: "running", startedAt };
  }
}
