/**
 * Which failed calls are tried again, and when: decided from values alone.
 *
 * Promise: nothing is sent twice that could be done twice. A refusal for load (429, or 503 with Retry-After) was not
 * carried out, nor was a call that found no server, so those are tried again whatever the verb; any other failure of
 * the server or the network only for verbs that end in the same state when repeated.
 */
import type { KubernetesError, Verb } from "./errors.ts";

export interface RetryPolicy {
  /** Calls in all. */
  attempts: number;
  firstMs: number;
  maxMs: number;
}

export const defaultRetry: RetryPolicy = { attempts: 5, firstMs: 100, maxMs: 5_000 };

/** Milliseconds to wait before the next call; undefined when this error is the answer. `attempt` counts from 1. */
export function retryDelayMs(
  error: KubernetesError,
  verb: Verb,
  attempt: number,
  policy: RetryPolicy,
  random: () => number,
): number | undefined {
  if (attempt >= policy.attempts || !mayRepeat(error, verb)) return undefined;
  const backoff = backoffMs(attempt, policy, random);
  return error.retryAfterMs === undefined ? backoff : Math.max(error.retryAfterMs, backoff);
}

/** Doubles each time, with jitter of a half so that many clients do not return together. */
export function backoffMs(
  attempt: number,
  { firstMs, maxMs }: { firstMs: number; maxMs: number },
  random: () => number,
) {
  const full = Math.min(maxMs, firstMs * 2 ** (attempt - 1));
  return full / 2 + (full / 2) * random();
}

function mayRepeat(error: KubernetesError, verb: Verb): boolean {
  const notDone =
    error.status === 429 || (error.status === 503 && error.retryAfterMs !== undefined) || refusedConnection(error);
  if (notDone) return true;
  // A patch here is a merge or an apply: repeated, it gives the same object (or a conflict, which is an answer).
  const repeatable = verb !== "create" && verb !== "deletecollection";
  return repeatable && (error.reason === "Unreachable" || error.status >= 500) && error.reason !== "TooLarge";
}

function refusedConnection(error: KubernetesError): boolean {
  const code = (error.cause as { code?: string } | undefined)?.code;
  return error.reason === "Unreachable" && (code === "ECONNREFUSED" || code === "ENOTFOUND" || code === "EAI_AGAIN");
}
