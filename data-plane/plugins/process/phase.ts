/**
 * What an attempt's process came to. Pure: from what it wrote and how it ended to the attempt's last phase.
 *
 * In this order: error.pb says why it failed; outputs.pb means success whatever the exit status; exit 0 is success when the
 * task declares no outputs; everything else is an error made of exit status and last log lines.
 */
import { constants } from "node:os";
import {
  type ContainerError,
  ContainerError_Kind,
  ExecutionError_ErrorKind,
} from "@flyte-ts/contract/flyteidl2/core/execution_pb.ts";
import type { AttemptError, Transition } from "../../executor/index.ts";

export interface Ended {
  at: Date;
  /** As a shell counts: 128 + n for signal n. Undefined: it vanished and left no word. */
  status: number | undefined;
  error: ContainerError | "unreadable" | undefined;
  hasOutputs: boolean;
  declaresOutputs: boolean;
  attemptUri: string;
  /** The kernel killed for want of memory meanwhile. */
  outOfMemory: boolean;
  lastLines: string;
  /** Why the files that the task left are not its outputs. */
  problem?: string;
}

export function endOf(ended: Ended): Transition {
  const { at } = ended;
  if (ended.error === "unreadable") {
    const message = `the task wrote an error.pb that cannot be read: ${ended.attemptUri}/error.pb`;
    return { phase: "failed", at, error: { code: "Unknown", message, kind: "system", recoverable: true } };
  }
  if (ended.error) return { phase: "failed", at, error: reportedError(ended.error, `${ended.attemptUri}/error.pb`) };
  if (ended.hasOutputs) return { phase: "succeeded", at, outputUri: ended.attemptUri };
  if (ended.status === 0 && !ended.declaresOutputs) return { phase: "succeeded", at };
  return { phase: "failed", at, error: exitError(ended) };
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

function exitError({ status, outOfMemory, lastLines, problem }: Ended): AttemptError {
  const because = lastLines === "" ? "; it wrote no log" : `; its last log lines:\n${lastLines}`;
  const error = (kind: AttemptError["kind"], code: string, message: string): AttemptError => ({
    code,
    message: message + because,
    kind,
    recoverable: true,
  });
  if (status === undefined) {
    return error("system", "ProcessLost", "the task's process vanished without an exit status while nobody watched it");
  }
  if (status === 0 && problem !== undefined) return error("user", "OutputsMissing", problem);
  if (status === 0)
    return error("user", "OutputsMissing", "the task's process ended with exit code 0 but wrote no outputs");
  const signal = status > 128 ? signalName(status - 128) : undefined;
  if (signal === "SIGKILL" && outOfMemory) {
    return error("user", "OOMKilled", "the task's process was killed because the machine ran out of memory");
  }
  if (signal === "SIGKILL" || signal === "SIGTERM") {
    return error("system", "Interrupted", `the task's process was killed by ${signal} from outside`);
  }
  if (signal) return error("user", signal, `the task's process was ended by ${signal}`);
  return error("user", `ExitCode${status}`, `the task's process ended with exit code ${status}`);
}

function signalName(number: number): string | undefined {
  return Object.entries(constants.signals).find(([, value]) => value === number)?.[0];
}

export function failedToStart(at: Date, error: Omit<AttemptError, "recoverable">): Transition {
  return { phase: "failed", at, error: { ...error, recoverable: false } };
}
