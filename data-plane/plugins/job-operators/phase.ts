/**
 * What a job has come to: what its operator's status says, and what its pods say where that is silent or brief. Pure.
 *
 * The operator has the word on how far the job is. A primary pod that cannot start, or that failed and will not be
 * started again, ends it before the operator notices. Why a job failed is told by the pod that failed first.
 */
import type { AttemptError } from "../../executor/index.ts";
import type { Graces } from "../pod/config.ts";
import { PRIMARY } from "../pod/labels.ts";
import type { Pod } from "../pod/objects.ts";
import { observe, type Remembered, type Seen } from "../pod/phase.ts";
import { dateOf } from "../pod/times.ts";
import type { JobKind, JobObject } from "./kind.ts";

export interface JobLook {
  graces: Graces;
  operatorMs: number;
  now: Date;
  trouble: Remembered | undefined;
}

export type Progress =
  | { kind: "pending"; waiting?: { reason: string; message: string }; trouble?: Remembered; after?: number }
  | { kind: "starting"; trouble?: Remembered; after?: number }
  | { kind: "running"; startedAt: Date | undefined; trouble?: Remembered; after?: number }
  /** It never ran and never will. */
  | { kind: "failed"; error: AttemptError }
  | {
      kind: "ended";
      startedAt: Date | undefined;
      at: Date | undefined;
      succeeded: boolean;
      /** What it is when the task itself left no word. */
      end: { phase: "failed" | "timedOut"; error: AttemptError };
    };

export function progress(kind: JobKind, job: JobObject, pods: readonly Pod[], look: JobLook): Progress {
  const seen = kind.observe(job);
  if (seen.kind === "succeeded") {
    const message = `the ${kind.kind} ${job.metadata.name} succeeded but its task wrote no outputs`;
    const error: AttemptError = { code: "OutputsMissing", message, kind: "user", recoverable: true };
    return { kind: "ended", startedAt: seen.startedAt, at: seen.at, succeeded: true, end: { phase: "failed", error } };
  }
  if (seen.kind === "failed") {
    const own = seen.final || seen.phase ? undefined : firstFailure(pods, look);
    const end = own?.end ?? { phase: seen.phase ?? "failed", error: seen.error };
    return { kind: "ended", startedAt: seen.startedAt ?? own?.startedAt, at: seen.at, succeeded: false, end };
  }

  const primary = kind.primary(pods);
  const pod = primary && observe(primary, { ...look, primary: primaryContainer(primary) });
  if (primary && pod) {
    const once = primary.spec.restartPolicy === "Never";
    // Where Kubernetes starts the container again, that it ends is no end.
    if (pod.kind === "failed" && (once || pod.error.code !== "CrashLoopBackOff")) return inPod(primary, pod);
    const over = pod.kind === "ended" && !pod.exitedZero && !primary.metadata.deletionTimestamp;
    if (over && once && (kind.lastTry?.(job) ?? true)) {
      return { ...ended(primary, pod), startedAt: pod.startedAt };
    }
  }
  const watched = pod && "after" in pod && pod.after !== undefined ? { after: pod.after } : {};
  const trouble = pod && "trouble" in pod && pod.trouble ? { trouble: pod.trouble } : {};
  const more = { ...trouble, ...watched };
  switch (seen.kind) {
    case "suspended":
      return { kind: "pending", waiting: { reason: "Suspended", message: seen.message }, ...more };
    case "running":
      return { kind: "running", startedAt: seen.startedAt, ...more };
    case "silent": {
      const since = dateOf(job.metadata.creationTimestamp) ?? look.now;
      const left = since.getTime() + look.operatorMs - look.now.getTime();
      if (left <= 0) return { kind: "failed", error: silent(kind, job, look.operatorMs) };
      return { kind: "pending", ...more, after: Math.min(left, more.after ?? left) };
    }
    case "starting":
      if (pod?.kind === "pending" && pod.waiting) return { kind: "pending", waiting: pod.waiting, ...more };
      return { kind: "starting", ...more };
  }
}

/** Of its containers, the one that is the task. */
export function primaryContainer(pod: Pod): string {
  const named = pod.metadata.annotations?.[PRIMARY];
  const names = pod.spec.containers.map(({ name }) => name);
  return named !== undefined && names.includes(named) ? named : (names[0] ?? "");
}

/** Others end because of the first one, and are ended from outside: their own errors come before that. */
function firstFailure(pods: readonly Pod[], look: JobLook): (Progress & { kind: "ended" }) | undefined {
  const failures = pods.flatMap((pod) => {
    const seen = observe(pod, { ...look, trouble: undefined, primary: primaryContainer(pod) });
    return seen.kind === "ended" && !seen.exitedZero ? [ended(pod, seen)] : [];
  });
  const time = ({ at }: { at: Date | undefined }) => at?.getTime() ?? Number.POSITIVE_INFINITY;
  const forced = (one: Progress & { kind: "ended" }) => (one.end.error.kind === "system" ? 1 : 0);
  return failures.sort((a, b) => time(a) - time(b) || forced(a) - forced(b))[0];
}

function ended(pod: Pod, seen: Seen & { kind: "ended" }): Progress & { kind: "ended" } {
  const error = { ...seen.end.error, message: of(pod, seen.end.error.message) };
  const { startedAt, at } = seen;
  return { kind: "ended", startedAt, at, succeeded: false, end: { ...seen.end, error } };
}

function inPod(pod: Pod, seen: Seen & { kind: "failed" }): Progress {
  return { kind: "failed", error: { ...seen.error, message: of(pod, seen.error.message) } };
}

function of(pod: Pod, message: string): string {
  return `in the pod ${pod.metadata.name}: ${message}`;
}

function silent(kind: JobKind, { metadata }: JobObject, operatorMs: number): AttemptError {
  const message = `nobody has looked at the ${kind.kind} ${metadata.name} within ${operatorMs / 1000} s: check that ${kind.operator} runs and watches the namespace ${metadata.namespace}`;
  return { code: "OperatorSilent", message, kind: "system", recoverable: true };
}
