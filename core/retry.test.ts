import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { type AttemptFailure, decideRetry, type FailureCounts, type RetryPolicy } from "./retry.ts";

const user: AttemptFailure = { kind: "user", recoverable: true };
const system: AttemptFailure = { kind: "system", recoverable: true };
const none: FailureCounts = { userFailures: 0, systemFailures: 0 };

/** The delays of one failure after the other, until there are no more tries. */
function delays(policy: RetryPolicy, failure: AttemptFailure): number[] {
  const result: number[] = [];
  for (let counts = none; ; ) {
    const decision = decideRetry(policy, counts, failure);
    counts = decision.counts;
    if (!decision.retry) return result;
    result.push(decision.delayMs);
  }
}

test("delays before the retries of a user's failure", () => {
  const table: { backoff?: RetryPolicy["backoff"]; retries: number; expected: number[] }[] = [
    { retries: 0, expected: [] },
    { retries: 2, expected: [0, 0] },
    { retries: 3, backoff: { baseMs: 1000, factor: 2 }, expected: [1000, 2000, 4000] },
    { retries: 4, backoff: { baseMs: 1000, factor: 3, capMs: 5000 }, expected: [1000, 3000, 5000, 5000] },
    { retries: 3, backoff: { baseMs: 500, factor: 1 }, expected: [500, 500, 500] },
    { retries: 3, backoff: { baseMs: 800, factor: 0.5 }, expected: [800, 400, 200] },
    // No factor is no growth, and a base of nothing is no backoff.
    { retries: 2, backoff: { baseMs: 700, factor: 0 }, expected: [700, 700] },
    { retries: 2, backoff: { baseMs: 0, factor: 2, capMs: 5000 }, expected: [0, 0] },
  ];
  for (const { retries, backoff, expected } of table) {
    assert.deepEqual(delays({ retries, systemRetries: 0, ...(backoff && { backoff }) }, user), expected);
  }
});

test("a growth without end stops at a week", () => {
  const policy = { retries: 500, systemRetries: 0, backoff: { baseMs: 60_000, factor: 10 } };
  assert.equal(Math.max(...delays(policy, user)), 7 * 24 * 3600 * 1000);
});

test("system retries pause by a backoff of their own, up to half a minute", () => {
  const policy = { retries: 9, systemRetries: 9, backoff: { baseMs: 7, factor: 1 } };
  assert.deepEqual(delays(policy, system), [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
});

test("each kind of failure has a budget of its own", () => {
  const policy = { retries: 1, systemRetries: 2 };
  const spent = { userFailures: 1, systemFailures: 2 };
  assert.equal(decideRetry(policy, { ...spent, userFailures: 0 }, user).retry, true);
  assert.equal(decideRetry(policy, { ...spent, systemFailures: 1 }, system).retry, true);
  assert.deepEqual(decideRetry(policy, spent, user), {
    retry: false,
    exhausted: true,
    counts: { userFailures: 2, systemFailures: 2 },
  });
  assert.deepEqual(decideRetry(policy, spent, system), {
    retry: false,
    exhausted: true,
    counts: { userFailures: 1, systemFailures: 3 },
  });
});

test("what the task calls final is not tried again, and no budget is blamed for it", () => {
  for (const kind of ["user", "system"] as const) {
    const decision = decideRetry({ retries: 5, systemRetries: 5 }, none, { kind, recoverable: false });
    assert.equal(decision.retry, false);
    assert.equal(!decision.retry && decision.exhausted, false);
  }
});

test("in whatever order failures come, no more than retries + 1 of a kind are ever made", () => {
  const failures = fc.array(fc.constantFrom(user, system), { minLength: 1, maxLength: 60 });
  fc.assert(
    fc.property(fc.nat(6), fc.nat(6), failures, (retries, systemRetries, sequence) => {
      let counts = none;
      for (const failure of sequence) {
        const decision = decideRetry({ retries, systemRetries }, counts, failure);
        const before = counts.userFailures + counts.systemFailures;
        counts = decision.counts;
        assert.equal(counts.userFailures + counts.systemFailures, before + 1);
        assert.ok(counts.userFailures <= retries + 1 && counts.systemFailures <= systemRetries + 1);
        if (!decision.retry) return;
        assert.ok(counts.userFailures <= retries && counts.systemFailures <= systemRetries);
        assert.ok(decision.delayMs >= 0 && Number.isInteger(decision.delayMs));
      }
    }),
  );
});
