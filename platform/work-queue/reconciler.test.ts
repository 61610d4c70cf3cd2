/** The work queue: exclusion per key, marks that are never lost, backoff, waits. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { reconciler } from "./reconciler.ts";

function gate() {
  let open = () => {};
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { open, opened };
}

test("a key is never worked on twice at once, and a mark during its work brings it back", async () => {
  const stop = new AbortController();
  const first = gate();
  const started = gate();
  const again = gate();
  let calls = 0;
  let active = 0;
  const queue = reconciler({
    async reconcile() {
      assert.equal(active, 0);
      active += 1;
      calls += 1;
      if (calls === 1) {
        started.open();
        await first.opened;
      }
      active -= 1;
      if (calls === 2) again.open();
      return undefined;
    },
    onError: (_key, error) => assert.fail(String(error)),
  });
  const done = queue.run(stop.signal);
  queue.add("a");
  await started.opened;
  queue.add("a");
  queue.add("a");
  first.open();
  await again.opened;
  stop.abort();
  await done;
  assert.equal(calls, 2);
});

test("a throw comes back with growing failures and stops no other key", async () => {
  const stop = new AbortController();
  const seen: number[] = [];
  const over = gate();
  const other = gate();
  const queue = reconciler({
    backoff: { firstMs: 1, maxMs: 4 },
    reconcile(key, failures) {
      if (key === "good") {
        other.open();
        return undefined;
      }
      seen.push(failures);
      if (failures < 3) throw new Error("bad luck");
      over.open();
      return undefined;
    },
    onError: () => {},
  });
  const done = queue.run(stop.signal);
  queue.add("bad");
  queue.add("good");
  await Promise.all([over.opened, other.opened]);
  queue.add("bad");
  stop.abort();
  await done;
  assert.deepEqual(seen.slice(0, 4), [0, 1, 2, 3]);
});

test("waits come back in order of time, a mark replaces the wait, forget drops it", async () => {
  const stop = new AbortController();
  const order: string[] = [];
  const over = gate();
  const waits: Record<string, number[]> = { slow: [1000], quick: [20], marked: [100_000], forgotten: [900] };
  const queue = reconciler({
    reconcile(key) {
      order.push(key);
      if (order.length === 7) over.open();
      return waits[key]?.shift();
    },
    onError: (_key, error) => assert.fail(String(error)),
  });
  const done = queue.run(stop.signal);
  for (const key of Object.keys(waits)) queue.add(key);
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
  queue.forget("forgotten");
  queue.add("marked");
  await new Promise<void>((resolve) => {
    const poll = setInterval(() => {
      if (order.length < 7) return;
      clearInterval(poll);
      resolve();
    }, 2);
  });
  stop.abort();
  await done;
  assert.deepEqual(order.slice(0, 4), ["slow", "quick", "marked", "forgotten"]);
  // The mark came at once, the waits in order of time, and what was forgotten did not come.
  assert.deepEqual(order.slice(4).sort(), ["marked", "quick", "slow"]);
  assert.equal(order.at(-1), "slow");
});

test("run waits for work in progress when it is stopped", async () => {
  const stop = new AbortController();
  const started = gate();
  const finish = gate();
  let ended = false;
  const queue = reconciler({
    async reconcile() {
      started.open();
      await finish.opened;
      ended = true;
      return undefined;
    },
    onError: () => {},
  });
  const done = queue.run(stop.signal);
  queue.add("a");
  await started.opened;
  stop.abort();
  finish.open();
  await done;
  assert.equal(ended, true);
});

test("an earlier wait makes a later one superfluous, also while the key is worked on", async () => {
  const stop = new AbortController();
  const started = gate();
  const finish = gate();
  const calls: string[] = [];
  const twice = gate();
  const queue = reconciler({
    async reconcile(key) {
      calls.push(key);
      if (calls.length === 1) {
        started.open();
        await finish.opened;
        return 100_000;
      }
      twice.open();
      return undefined;
    },
    onError: (_key, error) => assert.fail(String(error)),
  });
  const done = queue.run(stop.signal);
  queue.addAfter("a", 100_000);
  queue.addAfter("a", 1);
  queue.addAfter("a", 100_000);
  await started.opened;
  queue.addAfter("a", 1);
  finish.open();
  await twice.opened;
  stop.abort();
  await done;
  assert.deepEqual(calls, ["a", "a"]);
});

test("every call is told, with how it went and what waits", async () => {
  const stop = new AbortController();
  const seen: unknown[] = [];
  const queue = reconciler({
    concurrency: 1,
    backoff: { firstMs: 100_000, maxMs: 100_000 },
    reconcile(key) {
      if (key === "bad") throw new Error("bad luck");
      return undefined;
    },
    onError: () => {},
    onCall({ ok, ready, active }) {
      seen.push({ ok, ready, active });
      if (seen.length === 2) stop.abort();
    },
  });
  queue.add("bad");
  queue.add("good");
  await queue.run(stop.signal);
  assert.deepEqual(seen, [
    { ok: false, ready: 1, active: 0 },
    { ok: true, ready: 0, active: 0 },
  ]);
});
