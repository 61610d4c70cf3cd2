/**
 * What a pod has come to. Pure: from the pod, the clock and what was remembered of its troubles to one of a few answers.
 *
 * The primary container is the attempt: when it has ended the attempt has, whatever its sidecars do. What a container
 * waits for may pass, so most troubles have a grace, counted from when they were first seen.
 */
import type { AttemptError } from "../../executor/index.ts";
import type { Graces } from "./config.ts";
import type { ContainerStatus, Pod, PodCondition, PodStatus } from "./objects.ts";
import {
  companyLost,
  type End,
  endOfContainer,
  endOfPod,
  endOfUpload,
  failedInit,
  interrupted,
  type Terminated,
} from "./pod-end.ts";
import { UPLOAD } from "./staged.ts";
import { dateOf } from "./times.ts";
import { type Trouble, troubleOf } from "./waiting.ts";

/** A trouble in its grace; the caller keeps it until the next look. */
export interface Remembered {
  kind: string;
  sinceMs: number;
  said: string;
}

export interface Look {
  /** The name of the container that is the task. */
  primary: string;
  graces: Graces;
  now: Date;
  trouble: Remembered | undefined;
}

export type Seen =
  /** On no node yet. `waiting` says what it waits for, when it is resources. */
  | { kind: "pending"; waiting?: { reason: string; message: string }; after?: number }
  | { kind: "starting"; trouble?: Remembered; after?: number }
  | { kind: "running"; startedAt: Date | undefined; trouble?: Remembered; after?: number }
  /** The task's container has ended, and the one that takes its outputs has not. */
  | { kind: "handingOver"; startedAt: Date | undefined; exitCode: number; trouble?: Remembered; after?: number }
  /** It never ran and never will. */
  | { kind: "failed"; error: AttemptError }
  /** The task's process is over; what it wrote has the first word. */
  | ({ kind: "ended" } & End);

export function observe(pod: Pod, look: Look): Seen {
  const status = pod.status ?? {};
  const own = status.containerStatuses?.find(({ name }) => name === look.primary);
  if (own?.state?.terminated) return handOver(pod, own.state.terminated, look);
  if (status.phase === "Failed" || status.phase === "Succeeded") return { kind: "ended", ...endOfPod(pod) };

  const lost = lostAfter(pod, look);
  if (status.reason === "NodeLost" || (lost !== undefined && lost <= 0)) {
    return {
      kind: "ended",
      ...interrupted(pod, "NodeLost", "its node does not answer, and nobody knows what runs there"),
    };
  }
  if (uploaderOf(pod)?.state?.terminated && !pod.metadata.deletionTimestamp)
    return { kind: "ended", ...companyLost(pod) };
  const after = earliest(lost);
  // With no word about containers yet, the pod's own is the best there is.
  if (own?.state?.running || (status.phase === "Running" && !own)) {
    const startedAt = dateOf(own?.state?.running?.startedAt ?? status.startTime);
    if (status.phase === "Unknown") return unknown(pod, look, startedAt);
    return { kind: "running", startedAt, ...after };
  }
  if (status.phase === "Unknown") return unknown(pod, look, undefined);
  const init = failedInit(pod);
  if (init) return { kind: "ended", ...init };
  const seen = waiting(pod, look);
  if (lost === undefined || seen.kind === "failed" || seen.kind === "ended") return seen;
  return { ...seen, ...earliest(lost, seen.after) };
}

/** What a task that knows nothing of Flyte left is judged when it is stored. */
function handOver(pod: Pod, ended: Terminated, look: Look): Seen {
  const end = endOfContainer(pod, ended);
  const uploader = uploaderOf(pod);
  const over = pod.status?.phase === "Failed" || pod.status?.phase === "Succeeded";
  if (!end.byItself || !hasUploader(pod)) return { kind: "ended", ...end };
  if (over || uploader?.state?.terminated) return { kind: "ended", ...endOfUpload(end, uploader?.state?.terminated) };

  const { startedAt } = end;
  const lost = lostAfter(pod, look);
  if (lost !== undefined && lost <= 0) {
    return {
      kind: "ended",
      ...interrupted(pod, "NodeLost", "its node does not answer, and its outputs are not stored"),
    };
  }
  const exitCode = end.exitedZero ? 0 : ended.exitCode || 1;
  const waits = uploader?.state?.waiting;
  const trouble = waits && troubleOf({ container: UPLOAD, image: uploader?.image ?? "", ...waits });
  const seen = trouble ? tolerated(trouble, look) : undefined;
  if (seen?.kind === "failed") return { kind: "ended", ...end, end: { phase: "failed", error: seen.error } };
  const remembered = seen?.kind === "starting" && seen.trouble ? { trouble: seen.trouble } : {};
  const after = seen?.kind === "starting" ? seen.after : undefined;
  return { kind: "handingOver", startedAt, exitCode, ...remembered, ...earliest(lost, after) };
}

function hasUploader(pod: Pod): boolean {
  return pod.spec.containers.some(({ name }) => name === UPLOAD);
}

function uploaderOf(pod: Pod): ContainerStatus | undefined {
  return hasUploader(pod) ? pod.status?.containerStatuses?.find(({ name }) => name === UPLOAD) : undefined;
}

/** Nothing of the pod runs, or will. */
export function isQuiet(pod: Pod): boolean {
  const { phase, containerStatuses = [], initContainerStatuses = [] } = pod.status ?? {};
  if (phase === "Succeeded" || phase === "Failed") return true;
  const all = pod.spec.containers.length + (pod.spec.initContainers?.length ?? 0);
  const known = [...containerStatuses, ...initContainerStatuses];
  return known.length >= all && all > 0 && known.every(({ state }) => state?.terminated !== undefined);
}

/** A deleted pod whose node does not end it: milliseconds until it is given up; undefined when nobody deletes it. */
export function lostAfter(pod: Pod, { graces, now }: Pick<Look, "graces" | "now">): number | undefined {
  const goneBy = dateOf(pod.metadata.deletionTimestamp);
  return goneBy === undefined ? undefined : goneBy.getTime() + graces.nodeLostMs - now.getTime();
}

function waiting(pod: Pod, look: Look): Seen {
  const status = pod.status ?? {};
  const age = look.now.getTime() - (dateOf(pod.metadata.creationTimestamp) ?? look.now).getTime();
  const scheduled = condition(status, "PodScheduled");
  if (!pod.spec.nodeName && scheduled?.status !== "True" && !hasStatuses(status))
    return unscheduled(scheduled, age, look);
  const trouble = firstTrouble(status);
  if (trouble) return tolerated(trouble, look);
  const { pendingMs } = look.graces;
  if (pendingMs === undefined) return { kind: "starting" };
  if (age >= pendingMs) return { kind: "failed", error: tooSlow("PendingTimeout", "did not start", pendingMs, "") };
  return { kind: "starting", after: pendingMs - age };
}

function unscheduled(scheduled: PodCondition | undefined, age: number, { graces }: Look): Seen {
  const limit = Math.min(graces.schedulingMs ?? Number.POSITIVE_INFINITY, graces.pendingMs ?? Number.POSITIVE_INFINITY);
  const said = scheduled?.message ?? "";
  if (age >= limit) return { kind: "failed", error: tooSlow("Unschedulable", "found no node", limit, said) };
  const waits =
    scheduled?.status === "False" ? { reason: scheduled.reason ?? "Unschedulable", message: said } : undefined;
  return {
    kind: "pending",
    ...(waits ? { waiting: waits } : {}),
    ...(Number.isFinite(limit) ? { after: limit - age } : {}),
  };
}

function firstTrouble(status: PodStatus): Trouble | undefined {
  const all: ContainerStatus[] = [...(status.initContainerStatuses ?? []), ...(status.containerStatuses ?? [])];
  for (const { name, image, state } of all) {
    const trouble = state?.waiting && troubleOf({ container: name, image: image ?? "", ...state.waiting });
    if (trouble) return trouble;
  }
  return undefined;
}

function tolerated(trouble: Trouble, { graces, now, trouble: before }: Look): Seen {
  const same = before?.kind === trouble.kind ? before : undefined;
  const graceMs = { none: 0, image: graces.imagePullMs, container: graces.createContainerMs }[trouble.grace];
  const sinceMs = same?.sinceMs ?? now.getTime();
  // Words between two tries say less than those of the try itself.
  const said = trouble.between && same ? same.said : trouble.said;
  const left = sinceMs + graceMs - now.getTime();
  if (left <= 0) return { kind: "failed", error: trouble.error(said, graceMs) };
  return { kind: "starting", trouble: { kind: trouble.kind, sinceMs, said }, after: left };
}

function unknown(pod: Pod, { graces, now, trouble }: Look, startedAt: Date | undefined): Seen {
  const kind = "phase-unknown";
  const sinceMs = trouble?.kind === kind ? trouble.sinceMs : now.getTime();
  const left = sinceMs + graces.nodeLostMs - now.getTime();
  if (left <= 0)
    return { kind: "ended", ...interrupted(pod, "NodeLost", "its node has not told its state for too long") };
  const remembered = { trouble: { kind, sinceMs, said: "" }, after: left };
  return startedAt ? { kind: "running", startedAt, ...remembered } : { kind: "starting", ...remembered };
}

function tooSlow(code: string, what: string, limitMs: number, said: string): AttemptError {
  const message = `the pod ${what} within ${limitMs / 1000} s${said === "" ? "" : `: ${said}`}`;
  return { code, message, kind: "system", recoverable: true };
}

function condition(status: PodStatus, type: string): PodCondition | undefined {
  return status.conditions?.find((one) => one.type === type);
}

function hasStatuses({ containerStatuses = [], initContainerStatuses = [] }: PodStatus): boolean {
  return containerStatuses.length + initContainerStatuses.length > 0;
}

function earliest(...times: (number | undefined)[]): { after?: number } {
  const known = times.filter((time) => time !== undefined);
  return known.length > 0 ? { after: Math.min(...known) } : {};
}
