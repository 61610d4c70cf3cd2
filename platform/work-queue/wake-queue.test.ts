/** The heap of waits against a plain sort. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { wakeQueue } from "./wake-queue.ts";

test("keys fire in order of their last deadline, each once, cancelled ones never", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(
        fc.record({
          key: fc.integer({ min: 0, max: 12 }),
          inMs: fc.integer({ min: 0, max: 12 }),
          cancel: fc.boolean(),
        }),
        {
          maxLength: 200,
        },
      ),
      async (actions) => {
        const fired: string[] = [];
        const expected = new Set<string>();
        let done = () => {};
        const all = new Promise<void>((resolve) => (done = resolve));
        const queue = wakeQueue((key) => {
          fired.push(key);
          if (key === "last") done();
        });
        for (const { key, inMs, cancel } of actions) {
          if (cancel) {
            queue.cancel(`k${key}`);
            expected.delete(`k${key}`);
          } else {
            queue.at(`k${key}`, inMs);
            expected.add(`k${key}`);
          }
        }
        queue.at("last", 20);
        await all;
        assert.deepEqual([...fired].sort(), [...expected, "last"].sort());
        assert.equal(queue.size, 0);
        queue.clear();
      },
    ),
    { numRuns: 20 },
  );
});

test("by keeps what is earlier and replaces what is later", async () => {
  const fired: string[] = [];
  let done = () => {};
  const all = new Promise<void>((resolve) => (done = resolve));
  const queue = wakeQueue((key) => {
    fired.push(key);
    if (fired.length === 2) done();
  });
  queue.by("a", 100_000);
  queue.by("b", 10);
  queue.by("a", 1);
  queue.by("a", 100_000);
  await all;
  assert.deepEqual(fired, ["a", "b"]);
  assert.equal(queue.size, 0);
});
