/** What the status of Kubeflow's jobs says. Pure. */
import { dateOf } from "../../pod/times.ts";
import type { JobObject, JobSeen } from "../kind.ts";
import { type Condition, holding, jobError, outOfTime, youngest } from "../status.ts";

interface Status {
  conditions?: Condition[];
  startTime?: string | null;
  completionTime?: string | null;
}

export function observeTrainingJob(job: JobObject): JobSeen {
  const status = (job.status ?? {}) as Status;
  const { conditions } = status;
  const at = dateOf(status.completionTime);
  const failed = holding(conditions, "Failed");
  if (failed) {
    const { message = "" } = failed;
    const when = at ?? dateOf(failed.lastTransitionTime);
    if (/active longer than specified deadline/i.test(message)) {
      return { kind: "failed", at: when, phase: "timedOut", error: outOfTime(job, message) };
    }
    return { kind: "failed", at: when, error: jobError(job, failed) };
  }
  if (holding(conditions, "Succeeded")) return { kind: "succeeded", at };
  switch (youngest(conditions, ["Created", "Suspended", "Restarting", "Running"])) {
    case "Running":
    case "Restarting":
      return { kind: "running", startedAt: dateOf(holding(conditions, "Running")?.lastTransitionTime) };
    case "Suspended":
      return { kind: "suspended", message: holding(conditions, "Suspended")?.message ?? "the job is suspended" };
    case "Created":
      return { kind: "starting" };
    default:
      return held(job) ? { kind: "suspended", message: "the job is suspended" } : { kind: "silent" };
  }
}

function held({ spec }: JobObject): boolean {
  return (spec.runPolicy as { suspend?: boolean } | undefined)?.suspend === true;
}
