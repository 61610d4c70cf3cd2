/**
 * How a pod's task ended, as seen from outside: by itself, or by whom and why. Pure.
 *
 * Who is to blame decides whose retries are used: memory, exit codes and the task's own limits are the user's; nodes that
 * go, evictions, preemption and deletion by others are the system's.
 */
import type { AttemptError } from "../../executor/index.ts";
import { exitError, withLog } from "../../task-code/index.ts";
import type { ContainerState, Pod, PodStatus } from "./objects.ts";
import { DOWNLOAD, UPLOAD } from "./staged.ts";
import { dateOf } from "./times.ts";

export interface End {
  startedAt: Date | undefined;
  /** Undefined when nobody noted it. */
  at: Date | undefined;
  /** Nothing from outside made it end. */
  byItself: boolean;
  /** It ended by itself, with exit code 0. */
  exitedZero: boolean;
  /** What it is when it left neither results nor success behind. */
  end: { phase: "failed" | "timedOut"; error: AttemptError };
}

export type Terminated = NonNullable<ContainerState["terminated"]>;

/** The task's container has ended. */
export function endOfContainer(pod: Pod, ended: Terminated): End {
  const startedAt = dateOf(ended.startedAt);
  const at = dateOf(ended.finishedAt);
  const forced = forcedEnd(pod, ended);
  if (forced) return { startedAt, at, byItself: false, exitedZero: false, end: forced };
  return {
    startedAt,
    at,
    byItself: true,
    exitedZero: ended.exitCode === 0 && ended.reason !== "OOMKilled",
    end: failed(containerError(ended, "the task's container")),
  };
}

/** The pod is over, and nothing is known of the task's container. */
export function endOfPod(pod: Pod): End {
  const status = pod.status ?? {};
  const nothing = { startedAt: undefined, at: undefined, byItself: false };
  const forced = forcedEnd(pod, undefined);
  if (forced) return { ...nothing, exitedZero: false, end: forced };
  const init = failedInit(pod);
  if (init) return init;
  const exitedZero = status.phase === "Succeeded";
  const said = [status.reason, status.message].filter(Boolean).join(": ") || "Kubernetes gave no reason";
  const message = exitedZero ? "the pod succeeded but wrote no outputs" : `the pod failed: ${said}`;
  const code = exitedZero ? "OutputsMissing" : "PodFailed";
  return {
    ...nothing,
    exitedZero,
    end: failed({ code, message, kind: exitedZero ? "user" : "system", recoverable: true }),
  };
}

/** An init container that failed: with restartPolicy Never the task will not start. */
export function failedInit(pod: Pod): End | undefined {
  const sidecars = new Set(
    (pod.spec.initContainers ?? []).flatMap(({ name, restartPolicy }) => (restartPolicy === "Always" ? [name] : [])),
  );
  for (const { name, state } of pod.status?.initContainerStatuses ?? []) {
    const ended = state?.terminated;
    if (!ended || (ended.exitCode === 0 && ended.reason !== "OOMKilled") || sidecars.has(name)) continue;
    const forced = forcedEnd(pod, ended);
    const end = forced ?? failed(initError(name, ended));
    return { startedAt: undefined, at: dateOf(ended.finishedAt), byItself: false, exitedZero: false, end };
  }
  return undefined;
}

/** Taken from us by something that is not the task. */
export function interrupted(pod: Pod, reason: string, message: string): End {
  const node = pod.spec.nodeName ? ` on node ${pod.spec.nodeName}` : "";
  return {
    startedAt: undefined,
    at: undefined,
    byItself: false,
    exitedZero: false,
    end: failed(system("Interrupted", `the pod${node} was interrupted: ${reason}: ${message}`)),
  };
}

/** The pod is not there any more and left no word. */
export function vanished(name: string): AttemptError {
  return system("ResourceDeletedExternally", `the pod ${name} was deleted by someone else before its task had ended`);
}

/** What ended the container from outside, if anything did. */
function forcedEnd(pod: Pod, ended: Terminated | undefined): End["end"] | undefined {
  const status = pod.status ?? {};
  const log = ended?.message?.trim() ?? "";
  const said = status.message ?? "";
  if (status.reason === "DeadlineExceeded") {
    const limit = pod.spec.activeDeadlineSeconds;
    const message = `the pod ran longer than its activeDeadlineSeconds${limit === undefined ? "" : ` of ${limit} s`} and was ended`;
    const error: AttemptError = { code: "MAX_RUNTIME_EXCEEDED", message, kind: "user", recoverable: true };
    return { phase: "timedOut", error };
  }
  if (ended?.reason === "OOMKilled") return undefined;
  if (status.reason === "Evicted" && ownLimit.test(said)) {
    return failed({
      code: "Evicted",
      message: withLog(`the pod was evicted: ${said}`, log),
      kind: "user",
      recoverable: true,
    });
  }
  const disruption = disruptionOf(status, ended);
  if (disruption) return failed(system("Interrupted", withLog(`the pod was interrupted: ${disruption}`, log)));
  if (ended?.reason === "ContainerStatusUnknown") {
    return failed(system("Interrupted", "the pod was interrupted: its node lost the container"));
  }
  return deletedBefore(pod, ended) ? failed(vanished(pod.metadata.name)) : undefined;
}

/** An eviction that the pod brought upon itself, by its own limits. */
const ownLimit = /exceeds the (total )?limit|exceeded its .*limit/i;

/** Reasons of a pod that kubelets and controllers give when it is not the task's fault. */
const reasons: ReadonlySet<string> = new Set([
  "Evicted",
  "Shutdown",
  "Terminated",
  "NodeShutdown",
  "NodeLost",
  "NodeAffinity",
  "Preempting",
  "Preempted",
  "UnexpectedAdmissionError",
]);

function disruptionOf(status: PodStatus, ended: Terminated | undefined): string | undefined {
  const { reason = "", message = "" } = status;
  if (reasons.has(reason) || reason.startsWith("OutOf")) return message === "" ? reason : `${reason}: ${message}`;
  const target = status.conditions?.find(({ type, status }) => type === "DisruptionTarget" && status === "True");
  if (!target || endedBefore(ended, dateOf(target.lastTransitionTime))) return undefined;
  return [target.reason, target.message].filter(Boolean).join(": ");
}

/** Someone else asked for the pod's deletion before the container ended. */
function deletedBefore(pod: Pod, ended: Terminated | undefined): boolean {
  const goneBy = dateOf(pod.metadata.deletionTimestamp);
  if (goneBy === undefined) return false;
  const asked = goneBy.getTime() - (pod.metadata.deletionGracePeriodSeconds ?? 0) * 1000;
  return !endedBefore(ended, new Date(asked));
}

/** Times are whole seconds: within the same one a clean exit is taken as the task's own. */
function endedBefore(ended: Terminated | undefined, moment: Date | undefined): boolean {
  const at = dateOf(ended?.finishedAt);
  if (at === undefined || moment === undefined) return false;
  return ended?.exitCode === 0 ? at.getTime() <= moment.getTime() : at.getTime() < moment.getTime();
}

function containerError(ended: Terminated, what: string): AttemptError {
  const lastLines = ended.message?.trim() ?? "";
  if (ended.reason === "StartError" || ended.reason === "ContainerCannotRun") {
    const missing = /executable file not found|no such file or directory|permission denied|is a directory/i.test(
      lastLines,
    );
    const message = `${what} could not be started: ${lastLines || ended.reason}`;
    if (!missing) return system("StartError", message);
    const advice = "; check that its image holds the program of its command";
    return { code: "CommandNotFound", message: message + advice, kind: "user", recoverable: false };
  }
  return exitError({
    status: ended.signal && ended.exitCode === 0 ? 128 + ended.signal : ended.exitCode,
    outOfMemory: ended.reason === "OOMKilled",
    lastLines,
    what,
    memory: "it needed more memory than its limit: ask for more",
  });
}

/** Our own container tells the user's mistakes in error.pb; everything else is not theirs. */
function initError(name: string, ended: Terminated): AttemptError {
  if (name !== DOWNLOAD) return containerError(ended, `the init container "${name}"`);
  const message = "the task's inputs could not be brought";
  return system("InputDownloadFailed", ourTrouble(message, ended));
}

/** The task's end once its outputs were taken, or were not. Undefined: nobody knows what became of them. */
export function endOfUpload(task: End, upload: Terminated | undefined): End {
  const [own, then] = [task.at?.getTime(), dateOf(upload?.finishedAt)?.getTime()];
  const at = then === undefined ? task.at : new Date(Math.max(own ?? then, then));
  if (!task.exitedZero || upload?.exitCode === 0) return { ...task, at };
  const message = "the task ended with exit code 0, but its outputs could not be stored";
  return { ...task, at, end: failed(system("OutputUploadFailed", ourTrouble(message, upload))) };
}

/** What would take the task's outputs has ended before the task. */
export function companyLost(pod: Pod): End {
  const upload = pod.status?.containerStatuses?.find(({ name }) => name === UPLOAD)?.state?.terminated;
  const message = "the container that would store the task's outputs ended before the task";
  return {
    startedAt: undefined,
    at: dateOf(upload?.finishedAt),
    byItself: false,
    exitedZero: false,
    end: failed(system("OutputUploadFailed", ourTrouble(message, upload))),
  };
}

function ourTrouble(message: string, ended: Terminated | undefined): string {
  if (!ended) return message;
  if (ended.reason === "OOMKilled") {
    return `${message}: it needed more memory than its limit; raise pods.copilotLimits of the cluster's executor`;
  }
  return withLog(`${message} (exit code ${ended.exitCode})`, ended.message?.trim() ?? "");
}

function failed(error: AttemptError): End["end"] {
  return { phase: "failed", error };
}

function system(code: string, message: string): AttemptError {
  return { code, message, kind: "system", recoverable: true };
}
