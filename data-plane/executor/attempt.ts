/**
 * What an attempt is in the executor's own words: its key, the places it reads and writes, the phases it went through.
 *
 * Promise: pure and total; a transition that needs an error cannot be written without one.
 */
import type { ActionRef, LeasedAction } from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";

/** Why an attempt failed, ready for `core.ExecutionError`. */
export interface AttemptError {
  code: string;
  message: string;
  kind: "user" | "system" | "unknown";
  /** Another try may succeed; the control plane decides whether there is one. */
  recoverable: boolean;
  /** The document in which the task itself told this error; absent for what the executor saw from outside. */
  uri?: string;
}

/** One phase an attempt entered. */
export type Transition =
  | { phase: "waitingForResources" | "initializing" | "running" | "aborted"; at: Date }
  | { phase: "succeeded"; at: Date; outputUri?: string }
  | { phase: "failed" | "timedOut"; at: Date; error: AttemptError };

export type AttemptPhase = Transition["phase"];

const underway: ReadonlySet<AttemptPhase> = new Set(["waitingForResources", "initializing", "running"]);

export function isTerminal(transition: Transition | undefined): boolean {
  return transition !== undefined && !underway.has(transition.phase);
}

/** Names one attempt of one action for the whole life of a cluster. Safe as a relative path of three segments. */
export function attemptKey(ref: ActionRef | undefined, attempt: number): string {
  if (!ref) throw new Error("a message of the control plane names no action: its `ref` is missing");
  return `${ref.runKey}/${ref.name}/${attempt}`;
}

/** The URIs of one attempt. */
export interface AttemptPlaces {
  /** Folder of outputs.pb, error.pb, report.html and the log. */
  attemptUri: string;
  /** The inputs.pb file; empty when the action has no inputs. */
  inputUri: string;
  /** Folder for files, directories and data frames. */
  rawDataPrefix: string;
  checkpointUri: string;
  /** Checkpoint of the attempt before; empty on the first one. */
  previousCheckpointUri: string;
}

/**
 * Lays out an attempt below the run's output base.
 *
 * @example attemptPlaces(lease).attemptUri // "s3://flyte-data/p/d/run/a0/1"
 */
export function attemptPlaces(lease: LeasedAction): AttemptPlaces {
  const name = lease.ref?.name ?? "";
  const folder = (base: string, attempt: number) => `${withoutSlash(base)}/${name}/${attempt}`;
  const raw = (attempt: number) =>
    lease.rawDataPrefix
      ? folder(`${withoutSlash(lease.rawDataPrefix)}/${lease.ref?.run ?? ""}`, attempt)
      : folder(lease.runOutputBase, attempt);
  return {
    attemptUri: folder(lease.runOutputBase, lease.attempt),
    inputUri: inputsFile(lease.inputUri),
    rawDataPrefix: raw(lease.attempt),
    checkpointUri: `${raw(lease.attempt)}/_flytecheckpoints`,
    previousCheckpointUri: lease.attempt > 1 ? `${raw(lease.attempt - 1)}/_flytecheckpoints` : "",
  };
}

function inputsFile(uri: string): string {
  if (uri === "" || uri.endsWith(".pb")) return uri;
  return `${withoutSlash(uri)}/inputs.pb`;
}

function withoutSlash(uri: string): string {
  return uri.endsWith("/") ? uri.replace(/\/+$/, "") : uri;
}
