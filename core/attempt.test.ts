import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { type ActionNow, applyReport, type LeaseNow, type ReportEffect, type ReportIn } from "./attempt.ts";
import { ActionPhase, isTerminal, phaseName } from "./phase.ts";
import type { AttemptFailure, FailureCounts, RetryPolicy } from "./retry.ts";

const { QUEUED, WAITING_FOR_RESOURCES, INITIALIZING, RUNNING, SUCCEEDED, FAILED, ABORTED, TIMED_OUT } = ActionPhase;
const at = (second: number) => new Date(Date.UTC(2026, 0, 1, 0, 0, second));
const user: AttemptFailure = { kind: "user", recoverable: true };
const policy: RetryPolicy = { retries: 1, systemRetries: 2, backoff: { baseMs: 1000, factor: 2 } };

const queued: ActionNow = { phase: QUEUED, startedAt: null, userFailures: 0, systemFailures: 0 };
const running: ActionNow = { ...queued, phase: RUNNING, startedAt: at(1) };
const lease: LeaseNow = { epoch: 3n, attempt: 2, live: true };
const report = (phases: number[], more: Partial<ReportIn> = {}): ReportIn => ({
  epoch: 3n,
  attempt: 2,
  transitions: phases.map((phase, index) => ({ phase, at: at(10 + index) })),
  released: false,
  ...more,
});
const ended = (
  phase: number,
  startedAt: Date | null,
  endedAt: Date,
  counts: Partial<FailureCounts> = {},
  exhausted = false,
): ReportEffect => ({
  kind: "end",
  phase,
  counts: { userFailures: 0, systemFailures: 0, ...counts },
  startedAt,
  endedAt,
  exhausted,
});

const table: { says: string; action?: ActionNow; lease?: LeaseNow | null; report: ReportIn; expected: ReportEffect }[] =
  [
    { says: "without a lease", lease: null, report: report([RUNNING]), expected: { kind: "stale" } },
    { says: "of an epoch before", report: report([SUCCEEDED], { epoch: 2n }), expected: { kind: "stale" } },
    { says: "of an epoch to come", report: report([SUCCEEDED], { epoch: 4n }), expected: { kind: "stale" } },
    { says: "of another attempt", report: report([SUCCEEDED], { attempt: 1 }), expected: { kind: "stale" } },
    {
      says: "of a lease that only cleans up",
      lease: { ...lease, live: false },
      report: report([SUCCEEDED]),
      expected: { kind: "cleanup", release: false },
    },
    {
      says: "of an action that is over, with the last word",
      action: { ...running, phase: ABORTED },
      report: report([ABORTED], { released: true }),
      expected: { kind: "cleanup", release: true },
    },
    { says: "of nothing", report: report([]), expected: { kind: "none" } },
    { says: "of the phase it is in", action: running, report: report([RUNNING]), expected: { kind: "none" } },
    {
      says: "of a step forward",
      report: report([INITIALIZING]),
      expected: { kind: "move", phase: INITIALIZING, startedAt: null },
    },
    {
      says: "of a start",
      report: report([WAITING_FOR_RESOURCES, INITIALIZING, RUNNING]),
      expected: { kind: "move", phase: RUNNING, startedAt: at(12) },
    },
    {
      says: "of steps that lie behind",
      action: running,
      report: report([INITIALIZING, WAITING_FOR_RESOURCES]),
      expected: { kind: "none" },
    },
    { says: "that would queue it again", action: running, report: report([QUEUED]), expected: { kind: "none" } },
    {
      says: "that would queue it again before it ran",
      action: { ...queued, phase: INITIALIZING },
      report: report([QUEUED]),
      expected: { kind: "none" },
    },
    { says: "of phases nobody knows", report: report([0, 99]), expected: { kind: "none" } },
    { says: "of a start and an end", report: report([RUNNING, SUCCEEDED]), expected: ended(SUCCEEDED, at(10), at(11)) },
    { says: "of an end without a start", report: report([SUCCEEDED]), expected: ended(SUCCEEDED, null, at(10)) },
    {
      says: "of a second start, which changes no first one",
      action: running,
      report: report([RUNNING, SUCCEEDED]),
      expected: ended(SUCCEEDED, at(1), at(11)),
    },
    {
      says: "that goes on after the end",
      action: running,
      report: report([SUCCEEDED, FAILED, RUNNING], { failure: user }),
      expected: ended(SUCCEEDED, at(1), at(10)),
    },
    { says: "of an abort", action: running, report: report([ABORTED]), expected: ended(ABORTED, at(1), at(10)) },
    {
      says: "of a user's failure with a retry left",
      action: running,
      report: report([FAILED], { failure: user }),
      expected: { kind: "retry", counts: { userFailures: 1, systemFailures: 0 }, delayMs: 1000 },
    },
    {
      says: "of a user's failure without one",
      action: { ...running, userFailures: 1 },
      report: report([FAILED], { failure: user }),
      expected: ended(FAILED, at(1), at(10), { userFailures: 2 }, true),
    },
    {
      says: "of a failure that is final",
      action: running,
      report: report([FAILED], { failure: { kind: "user", recoverable: false } }),
      expected: ended(FAILED, at(1), at(10), { userFailures: 1 }),
    },
    {
      says: "of a failure without a word, which counts as the system's",
      action: running,
      report: report([FAILED]),
      expected: { kind: "retry", counts: { userFailures: 0, systemFailures: 1 }, delayMs: 500 },
    },
    {
      says: "of an attempt that took too long, a failure like others",
      action: running,
      report: report([TIMED_OUT], { failure: user }),
      expected: { kind: "retry", counts: { userFailures: 1, systemFailures: 0 }, delayMs: 1000 },
    },
    {
      says: "of the last attempt, which took too long",
      action: { ...running, userFailures: 1 },
      report: report([TIMED_OUT], { failure: user }),
      expected: ended(TIMED_OUT, at(1), at(10), { userFailures: 2 }, true),
    },
  ];

for (const { says, action = queued, lease: held = lease, report: given, expected } of table) {
  test(`a report ${says}`, () => {
    assert.deepEqual(applyReport(action, held ?? undefined, given, policy), expected);
  });
}

/** An action with its lease, driven as state-service and queue-service do, and what was seen on the way. */
function model(rules: RetryPolicy) {
  let action: ActionNow = queued;
  let held: LeaseNow = { epoch: 1n, attempt: 1, live: true };
  const seen = { userFailures: 0, attempts: 1, ends: 0 };
  return {
    seen,
    get phase() {
      return action.phase;
    },
    apply(given: ReportIn): void {
      const effect = applyReport(action, held, given, rules);
      if (effect.kind === "move") action = { ...action, phase: effect.phase, startedAt: effect.startedAt };
      if (effect.kind === "retry" || effect.kind === "end") {
        seen.userFailures += effect.counts.userFailures - action.userFailures;
        action = { ...action, ...effect.counts };
      }
      if (effect.kind === "retry") {
        action = { ...action, phase: QUEUED, startedAt: null };
        held = { epoch: held.epoch + 1n, attempt: held.attempt + 1, live: true };
        seen.attempts++;
      }
      if (effect.kind === "end") {
        action = { ...action, phase: effect.phase, startedAt: effect.startedAt };
        held = { ...held, live: false };
        seen.ends++;
      }
    },
  };
}

const phases = fc.constantFrom(...Object.values(ActionPhase).filter((phase) => typeof phase === "number"));

test("reports in any order, doubled, late or from the future: ends once, for good, within the budget", () => {
  const failure = fc.record({ kind: fc.constantFrom("user" as const, "system" as const), recoverable: fc.boolean() });
  const anyReport = fc.record({
    attempt: fc.integer({ min: 1, max: 6 }),
    skew: fc.constantFrom(0n, 0n, 0n, 1n, -1n),
    sequence: fc.array(phases, { maxLength: 4 }),
    failure: fc.option(failure, { nil: undefined }),
    released: fc.boolean(),
  });
  const reports = fc.array(anyReport, { maxLength: 12 });
  const repeated = fc.array(fc.nat(11), { maxLength: 40 });
  fc.assert(
    fc.property(fc.nat(3), fc.nat(3), reports, repeated, (retries, systemRetries, all, order) => {
      const actor = model({ retries, systemRetries });
      let final: number | undefined;
      for (const index of [...all.keys(), ...order]) {
        const one = all[index];
        if (!one) continue;
        actor.apply({
          // The n-th attempt is leased in the n-th epoch here.
          epoch: BigInt(one.attempt) + one.skew,
          attempt: one.attempt,
          transitions: one.sequence.map((phase) => ({ phase, at: at(1) })),
          released: one.released,
          ...(one.failure && { failure: one.failure }),
        });
        if (final !== undefined) assert.equal(actor.phase, final, `left ${phaseName(final)}`);
        if (isTerminal(actor.phase)) final = actor.phase;
      }
      assert.ok(actor.seen.ends <= 1);
      assert.ok(actor.seen.userFailures <= retries + 1);
      assert.ok(actor.seen.attempts <= 1 + retries + systemRetries);
    }),
    { numRuns: 500 },
  );
});

test("a report that comes twice changes nothing the second time", () => {
  fc.assert(
    fc.property(fc.array(phases, { maxLength: 5 }), fc.nat(2), (sequence, retries) => {
      const actor = model({ retries, systemRetries: 1 });
      const given = { ...report(sequence), epoch: 1n, attempt: 1, failure: user };
      actor.apply(given);
      const [phase, seen] = [actor.phase, { ...actor.seen }];
      actor.apply(given);
      // Steps between INITIALIZING and WAITING_FOR_RESOURCES may be gone again: both are true of a waiting attempt.
      const waits = (one: number) => one === WAITING_FOR_RESOURCES || one === INITIALIZING;
      assert.ok(actor.phase === phase || (waits(actor.phase) && waits(phase)));
      assert.deepEqual(actor.seen, seen);
    }),
  );
});
