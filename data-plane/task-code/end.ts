/**
 * What a task's process came to, by what it wrote and by its exit status. Pure.
 *
 * In this order: error.pb says why it failed; outputs.pb means success whatever the exit status; exit 0 is success when
 * the task declares no outputs; everything else is an error, which the caller makes of what it saw from outside.
 */
import { constants } from "node:os";
import {
  type ContainerError,
  ContainerError_Kind,
  ExecutionError_ErrorKind,
} from "@flyte-ts/contract/flyteidl2/core/execution_pb.ts";
import type { TaskTemplate } from "@flyte-ts/contract/flyteidl2/core/tasks_pb.ts";
import type { AttemptError, Transition } from "../executor/index.ts";
import type { Results } from "./results.ts";

export interface EndParts extends Results {
  at: Date;
  /** The process ended by itself with exit code 0. */
  exitedZero: boolean;
  declaresOutputs: boolean;
  attemptUri: string;
}

/** The last phase of the attempt, or undefined when what was seen from outside decides. */
export function endByResults(parts: EndParts): Transition | undefined {
  const { at, attemptUri, error } = parts;
  if (error === "unreadable") {
    const message = `the task wrote an error.pb that cannot be read: ${attemptUri}/error.pb`;
    return { phase: "failed", at, error: { code: "Unknown", message, kind: "system", recoverable: true } };
  }
  if (error) return { phase: "failed", at, error: reportedError(error, `${attemptUri}/error.pb`) };
  if (parts.hasOutputs) return { phase: "succeeded", at, outputUri: attemptUri };
  if (parts.exitedZero && !parts.declaresOutputs) return { phase: "succeeded", at };
  return undefined;
}

export function declaresOutputs(template: TaskTemplate | undefined): boolean {
  return (template?.interface?.outputs?.variables.length ?? 0) > 0;
}

function reportedError(error: ContainerError, uri: string): AttemptError {
  const kinds: Partial<Record<number, AttemptError["kind"]>> = {
    [ExecutionError_ErrorKind.USER]: "user",
    [ExecutionError_ErrorKind.SYSTEM]: "system",
  };
  return {
    code: error.code || "Unknown",
    message: error.message,
    kind: kinds[error.origin] ?? "unknown",
    recoverable: error.kind === ContainerError_Kind.RECOVERABLE,
    uri,
  };
}

export interface ExitParts {
  /** As a shell counts: 128 + n for signal n. */
  status: number;
  /** Killed because it needed more memory than it was allowed, or than there was. */
  outOfMemory: boolean;
  /** Of its log; empty when it wrote none. */
  lastLines: string;
  /** What ended, for the message: `the task's process`. */
  what: string;
  /** What ran out: `the machine ran out of memory`. */
  memory: string;
}

/** The error of a process that told none. */
export function exitError({ status, outOfMemory, lastLines, what, memory }: ExitParts): AttemptError {
  const error = (kind: AttemptError["kind"], code: string, message: string): AttemptError => ({
    code,
    message: withLog(message, lastLines),
    kind,
    recoverable: true,
  });
  if (outOfMemory) return error("user", "OOMKilled", `${what} was killed because ${memory}`);
  if (status === 0) {
    return error("user", "OutputsMissing", `${what} ended with exit code 0 but wrote no outputs`);
  }
  const signal = status > 128 ? signalName(status - 128) : undefined;
  if (signal === "SIGKILL" || signal === "SIGTERM") {
    return error("system", "Interrupted", `${what} was killed by ${signal} from outside`);
  }
  if (signal) return error("user", signal, `${what} was ended by ${signal}`);
  return error("user", `ExitCode${status}`, `${what} ended with exit code ${status}`);
}

/** A message with the end of the log below it. */
export function withLog(message: string, lastLines: string): string {
  return lastLines === "" ? `${message}; it wrote no log` : `${message}; its last log lines:\n${lastLines}`;
}

function signalName(number: number): string | undefined {
  return Object.entries(constants.signals).find(([, value]) => value === number)?.[0];
}
