import assert from "node:assert/strict";
import { test } from "node:test";
import { coalescer, type Timer } from "./coalescer.ts";

function hand() {
  const calls = new Map<number, () => void>();
  const timer: Timer = (ms, call) => {
    calls.set(ms, call);
    return () => calls.delete(ms);
  };
  const fire = (ms: number) => {
    const call = calls.get(ms);
    assert.ok(call, `nobody waits for ${ms} ms`);
    calls.delete(ms);
    call();
  };
  return { timer, fire, waits: (ms: number) => calls.has(ms) };
}

const open = () => new AbortController().signal;

test("a slow reader finds the latest value of each key, once", async () => {
  const pending = coalescer<string, number>({ signal: open() });
  pending.put("a", 1);
  pending.put("b", 1);
  pending.put("a", 2);
  assert.deepEqual(await pending.next(), {
    kind: "batch",
    entries: [
      ["a", 2],
      ["b", 1],
    ],
  });
});

test("an older value does not replace a newer one", async () => {
  const pending = coalescer<string, number>({ signal: open(), replaces: (value, waiting) => value > waiting });
  pending.put("a", 2);
  pending.put("a", 1);
  assert.deepEqual(await pending.next(), { kind: "batch", entries: [["a", 2]] });
});

test("a waiting reader wakes at once; the next batch gathers for the gap, unless it is full", async () => {
  const { timer, fire } = hand();
  const pending = coalescer<number, true>({ signal: open(), gapMs: 100, max: 2, timer });
  const first = pending.next();
  pending.put(1, true);
  assert.equal((await first).kind, "batch");

  pending.put(2, true);
  let done = false;
  const second = pending.next().then((turn) => {
    done = true;
    return turn;
  });
  await new Promise(setImmediate);
  assert.equal(done, false, "the gap is not over");
  fire(100);
  assert.deepEqual(await second, { kind: "batch", entries: [[2, true]] });

  pending.put(3, true);
  pending.put(4, true);
  pending.put(5, true);
  assert.deepEqual(await pending.next(), {
    kind: "batch",
    entries: [
      [3, true],
      [4, true],
    ],
  });
  const last = pending.next();
  fire(100);
  assert.deepEqual(await last, { kind: "batch", entries: [[5, true]] });
});

test("silence is told after its time, and its timer goes with the waiting", async () => {
  const { timer, fire, waits } = hand();
  const pending = coalescer<number, true>({ signal: open(), silenceMs: 15_000, timer });
  const quiet = pending.next();
  fire(15_000);
  assert.equal((await quiet).kind, "silence");
  const loud = pending.next();
  assert.ok(waits(15_000));
  pending.put(1, true);
  assert.equal((await loud).kind, "batch");
  assert.ok(!waits(15_000));
});

test("a reader that left waits for nothing", async () => {
  const left = new AbortController();
  const pending = coalescer<number, true>({ signal: left.signal });
  const waiting = pending.next();
  left.abort();
  assert.equal((await waiting).kind, "over");
  pending.put(1, true);
  assert.equal((await pending.next()).kind, "over");
});
