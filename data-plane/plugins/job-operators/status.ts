/** What the statuses of several operators have in common. Pure. */
import type { AttemptError } from "../../executor/index.ts";
import type { Pod } from "../pod/objects.ts";
import { dateOf } from "../pod/times.ts";
import type { JobObject } from "./kind.ts";
import { ROLE } from "./names.ts";

export interface Condition {
  type: string;
  status: string;
  reason?: string;
  message?: string;
  lastTransitionTime?: string | null;
}

/** The condition of a type that holds. */
export function holding(conditions: readonly Condition[] | undefined, type: string): Condition | undefined {
  return conditions?.find((one) => one.type === type && one.status === "True");
}

/** Of the conditions that hold the youngest; of equally young ones the last in `types`, which says more. */
export function youngest(conditions: readonly Condition[] | undefined, types: readonly string[]): string | undefined {
  const time = (type: string) => dateOf(holding(conditions, type)?.lastTransitionTime)?.getTime() ?? 0;
  return types
    .filter((type) => holding(conditions, type))
    .sort((a, b) => time(a) - time(b) || types.indexOf(a) - types.indexOf(b))
    .at(-1);
}

/** The error of a job whose pods say nothing better: with the operator's words. */
export function jobError(
  job: JobObject,
  said: { reason?: string | undefined; message?: string | undefined },
  blame: Pick<AttemptError, "kind" | "recoverable"> = { kind: "user", recoverable: true },
): AttemptError {
  const words = [said.reason, said.message].filter(Boolean).join(": ") || "its operator gave no reason";
  return {
    code: said.reason || "JobFailed",
    message: `the ${job.kind} ${job.metadata.name} failed: ${words}`,
    ...blame,
  };
}

/** The task ran out of the time that it, or its job, was given. */
export function outOfTime(job: JobObject, message: string): AttemptError {
  const text = `the ${job.kind} ${job.metadata.name} ran longer than its activeDeadlineSeconds: ${message}`;
  return { code: "MAX_RUNTIME_EXCEEDED", message: text, kind: "user", recoverable: true };
}

/** Pods of a role, those that are still there first, then the youngest: of several tries that is the one that counts. */
export function inRole(pods: readonly Pod[], role: string): Pod[] {
  const going = ({ metadata }: Pod) => (metadata.deletionTimestamp ? 1 : 0);
  const born = ({ metadata }: Pod) => dateOf(metadata.creationTimestamp)?.getTime() ?? 0;
  return pods
    .filter(({ metadata }) => metadata.labels?.[ROLE] === role)
    .sort((a, b) => going(a) - going(b) || born(b) - born(a) || a.metadata.name.localeCompare(b.metadata.name));
}
