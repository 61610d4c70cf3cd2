/**
 * Whether a failed attempt is followed by another, and when.
 *
 * A user's failure consumes the task's own retries and waits for its backoff. A system's failure (a lost process, a lost
 * node) has a budget of its own and never consumes the user's.
 */
export interface RetryPolicy {
  /** Retries after the first attempt (`TaskTemplate.metadata.retries.retries`). */
  retries: number;
  /** Backoff before the n-th user retry: base × factor^(n−1), at most cap; milliseconds. */
  backoff?: { baseMs: number; factor: number; capMs?: number };
  /** Attempts that the system may lose before the action fails. */
  systemRetries: number;
}

export interface AttemptFailure {
  kind: "user" | "system";
  /** False when the task said that another try is of no use. */
  recoverable: boolean;
}

export interface FailureCounts {
  userFailures: number;
  systemFailures: number;
}

export type RetryDecision =
  | { retry: true; delayMs: number; counts: FailureCounts }
  | { retry: false; exhausted: boolean; counts: FailureCounts };

/** System retries pause too, so that a broken machine is not hammered: 0.5 s doubling to 30 s. */
const systemBackoff = { baseMs: 500, factor: 2, capMs: 30_000 };

export function decideRetry(policy: RetryPolicy, before: FailureCounts, failure: AttemptFailure): RetryDecision {
  const counts: FailureCounts =
    failure.kind === "user"
      ? { userFailures: before.userFailures + 1, systemFailures: before.systemFailures }
      : { userFailures: before.userFailures, systemFailures: before.systemFailures + 1 };
  if (!failure.recoverable) return { retry: false, exhausted: false, counts };
  if (failure.kind === "user") {
    if (counts.userFailures > policy.retries) return { retry: false, exhausted: true, counts };
    return { retry: true, delayMs: backoffMs(policy.backoff, counts.userFailures), counts };
  }
  if (counts.systemFailures > policy.systemRetries) return { retry: false, exhausted: true, counts };
  return { retry: true, delayMs: backoffMs(systemBackoff, counts.systemFailures), counts };
}

function backoffMs(backoff: RetryPolicy["backoff"], retry: number): number {
  if (!backoff || backoff.baseMs <= 0) return 0;
  const factor = backoff.factor > 0 ? backoff.factor : 1;
  const delay = backoff.baseMs * factor ** (retry - 1);
  return Math.round(Math.min(delay, backoff.capMs ?? Number.POSITIVE_INFINITY, 7 * 24 * 3600 * 1000));
}
