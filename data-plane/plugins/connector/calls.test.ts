/** Calls to one connector: how many at once, in what order, and what happens while it is away. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { calls, type Went } from "./calls.ts";

const OPTIONS = { concurrency: 2, perSecond: 10_000, awayFirstMs: 20, awayMaxMs: 40 };

function gate<T>() {
  let open: (value: T) => void = () => {};
  const passed = new Promise<T>((resolve) => (open = resolve));
  return { open, passed };
}

test("few at once, in order, one for a key; an outcome is given once", async () => {
  const all = calls<Went & { n: number }>(OPTIONS);
  const gates = Array.from({ length: 4 }, () => gate<Went & { n: number }>());
  const begun: number[] = [];
  const settled: number[] = [];
  const ends = gates.map(() => gate<void>());
  for (const [n, { passed }] of gates.entries()) {
    const call = () => {
      begun.push(n);
      return passed;
    };
    const tell = () => {
      settled.push(n);
      ends[n]?.open();
    };
    all.start(`k${n}`, call, tell);
    all.start(`k${n}`, () => assert.fail("a key has one call"), tell);
  }
  assert.deepEqual(begun, [0, 1]);
  assert.equal(all.withdraw("k0"), false);
  assert.equal(all.withdraw("k2"), true);
  assert.equal(all.isBusy("k2"), false);
  gates[1]?.open({ n: 1 });
  await ends[1]?.passed;
  assert.deepEqual(all.take("k1"), { n: 1 });
  assert.equal(all.take("k1"), undefined);
  await Promise.resolve();
  gates[3]?.open({ n: 3 });
  await ends[3]?.passed;
  assert.deepEqual(begun, [0, 1, 3]);
  const drained = all.drain();
  gates[0]?.open({ n: 0 });
  await drained;
  assert.deepEqual(settled, [1, 3, 0]);
  all.start(
    "late",
    () => assert.fail("nothing begins after the drain"),
    () => {},
  );
});

test("a call that throws throws where its outcome is taken, and stops no other", async () => {
  const all = calls(OPTIONS);
  const [first, second] = [gate<void>(), gate<void>()];
  all.start("bad", () => Promise.reject(new Error("a mistake")), first.open);
  all.start("good", async () => ({}), second.open);
  await Promise.all([first.passed, second.passed]);
  assert.throws(() => all.take("bad"), /a mistake/);
  assert.deepEqual(all.take("good"), {});
});

test("when it goes away those that wait are told, once", async () => {
  const all = calls({ ...OPTIONS, concurrency: 1 });
  const first = gate<Went>();
  const told: string[] = [];
  const over = gate<void>();
  all.start(
    "first",
    () => first.passed,
    () => told.push("first"),
  );
  for (const key of ["second", "third"]) {
    all.start(
      key,
      async () => ({ away: "still down" }),
      () => {
        told.push(key);
        if (all.take("third")) over.open();
      },
    );
  }
  first.open({ away: "down" });
  await over.passed;
  assert.deepEqual(told, ["second", "third", "first", "second", "third"]);
});

test("while it is away one call at a time goes out", async () => {
  const all = calls({ ...OPTIONS, concurrency: 10 });
  let running = 0;
  let most = 0;
  let away: string | undefined = "down";
  const over = gate<void>();
  let succeeded = 0;
  const call = async () => {
    running += 1;
    most = Math.max(most, running);
    await new Promise((resolve) => setImmediate(resolve));
    running -= 1;
    return { away };
  };
  const first = gate<void>();
  all.start("first", call, first.open);
  await first.passed;
  assert.equal(all.away, "down");
  most = 0;
  const again = (key: string) => {
    all.start(key, call, () => {
      const outcome = all.take(key);
      if (!outcome) return;
      if (outcome.away !== undefined) {
        assert.equal(most, 1);
        away = undefined;
        again(key);
        return;
      }
      succeeded += 1;
      if (succeeded === 20) over.open();
    });
  };
  for (let n = 0; n < 20; n += 1) again(`k${n}`);
  await over.passed;
  assert.equal(all.away, undefined);
  assert.ok(most > 1, "all may go out again");
});

test("no more calls in a second than allowed", async () => {
  const all = calls({ ...OPTIONS, concurrency: 100, perSecond: 50 });
  const over = gate<void>();
  const started = performance.now();
  let done = 0;
  // The first 50 are the burst; ten more need a fifth of a second.
  for (let n = 0; n < 60; n += 1) {
    all.start(
      `k${n}`,
      async () => ({}),
      () => {
        done += 1;
        if (done === 60) over.open();
      },
    );
  }
  await over.passed;
  assert.ok(performance.now() - started >= 180);
});
