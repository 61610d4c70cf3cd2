import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { dueAt, passedLimit, type TimedAction, TimeoutCode } from "./timeouts.ts";

const start = Date.UTC(2026, 0, 1);
const after = (ms: number) => new Date(start + ms);
/** Enqueued at 0 s; its current attempt waits since 10 s. */
const waiting: TimedAction = { enqueuedAt: after(0), queuedAt: after(10_000), running: false };
const running: TimedAction = { ...waiting, running: true };

test("the nearest limit", () => {
  const table: { queued: number; deadline: number; action: TimedAction; expected: number | undefined }[] = [
    { queued: 0, deadline: 0, action: waiting, expected: undefined },
    { queued: 5000, deadline: 0, action: waiting, expected: 15_000 },
    { queued: 5000, deadline: 0, action: running, expected: undefined },
    { queued: 0, deadline: 60_000, action: waiting, expected: 60_000 },
    { queued: 0, deadline: 60_000, action: running, expected: 60_000 },
    { queued: 5000, deadline: 60_000, action: waiting, expected: 15_000 },
    { queued: 5000, deadline: 60_000, action: running, expected: 60_000 },
    { queued: 90_000, deadline: 60_000, action: waiting, expected: 60_000 },
  ];
  for (const { queued, deadline, action, expected } of table) {
    const due = dueAt({ queuedTimeoutMs: queued, deadlineMs: deadline }, action);
    assert.equal(due?.getTime(), expected === undefined ? undefined : start + expected);
  }
});

test("a limit beyond what the database can write down is none", () => {
  const policy = { queuedTimeoutMs: 0, deadlineMs: 315_576_000_000_000 };
  assert.equal(dueAt(policy, waiting), undefined);
  assert.equal(dueAt({ ...policy, queuedTimeoutMs: 5000 }, waiting)?.getTime(), start + 15_000);
});

test("which limit has passed", () => {
  const table: { queued: number; deadline: number; action: TimedAction; now: number; expected: string | undefined }[] =
    [
      { queued: 5000, deadline: 0, action: waiting, now: 14_999, expected: undefined },
      { queued: 5000, deadline: 0, action: waiting, now: 15_000, expected: TimeoutCode.queued },
      { queued: 5000, deadline: 0, action: running, now: 99_000, expected: undefined },
      { queued: 0, deadline: 60_000, action: running, now: 59_999, expected: undefined },
      { queued: 0, deadline: 60_000, action: running, now: 60_000, expected: TimeoutCode.deadline },
      { queued: 5000, deadline: 60_000, action: waiting, now: 60_000, expected: TimeoutCode.deadline },
      { queued: 0, deadline: 0, action: waiting, now: 1e12, expected: undefined },
    ];
  for (const { queued, deadline, action, now, expected } of table) {
    const passed = passedLimit({ queuedTimeoutMs: queued, deadlineMs: deadline }, action, after(now));
    assert.equal(passed?.code, expected);
  }
});

test("messages name the limit in seconds", () => {
  const policy = { queuedTimeoutMs: 1500, deadlineMs: 60_000 };
  assert.match(passedLimit(policy, waiting, after(20_000))?.message ?? "", /queued timeout of 1\.5 s/);
  assert.match(passedLimit(policy, waiting, after(70_000))?.message ?? "", /deadline of 60 s/);
});

test("a limit has passed exactly from the moment it is due", () => {
  const ms = fc.integer({ min: 0, max: 100_000 });
  fc.assert(
    fc.property(ms, ms, ms, fc.boolean(), (queuedTimeoutMs, deadlineMs, queuedAt, isRunning) => {
      const policy = { queuedTimeoutMs, deadlineMs };
      const action = { enqueuedAt: after(0), queuedAt: after(queuedAt), running: isRunning };
      const due = dueAt(policy, action);
      if (!due) assert.equal(passedLimit(policy, action, after(1e9)), undefined);
      else {
        assert.notEqual(passedLimit(policy, action, due), undefined);
        assert.equal(passedLimit(policy, action, new Date(due.getTime() - 1)), undefined);
      }
    }),
  );
});
