import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { groupCommit, type Outcome } from "./group-commit.ts";

const ok = <T>(value: T): Outcome<T> => ({ ok: true, value });
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

/** A commit that waits until the test lets it go on, so that the test decides what arrives meanwhile. */
function gatedCommit(maxItems = 100) {
  const batches: number[][] = [];
  const gates: PromiseWithResolvers<void>[] = [];
  let committing = 0;
  const commits = groupCommit<number, string>({
    maxItems,
    async commit(items) {
      committing++;
      assert.equal(committing, 1, "one batch at a time");
      batches.push([...items]);
      const gate = Promise.withResolvers<void>();
      gates.push(gate);
      await gate.promise.finally(() => committing--);
      return items.map((item) => ok(`done ${item}`));
    },
  });
  return { commits, batches, gate: (index: number) => gates[index] as PromiseWithResolvers<void> };
}

test("an item alone is committed at once; what arrives meanwhile forms the next batch", async () => {
  const { commits, batches, gate } = gatedCommit();
  const first = commits.submit(1);
  await turn();
  assert.deepEqual(batches, [[1]]);
  const later = [2, 3, 4].map((item) => commits.submit(item));
  await turn();
  assert.deepEqual(batches, [[1]]);
  assert.equal(commits.pending, 4);
  gate(0).resolve();
  assert.equal(await first, "done 1");
  await turn();
  assert.deepEqual(batches, [[1], [2, 3, 4]]);
  gate(1).resolve();
  assert.deepEqual(await Promise.all(later), ["done 2", "done 3", "done 4"]);
  await commits.drained();
  assert.equal(commits.pending, 0);
});

test("items of one turn of the event loop share a batch", async () => {
  const { commits, batches, gate } = gatedCommit();
  const all = [1, 2, 3].map((item) => commits.submit(item));
  await turn();
  gate(0).resolve();
  await Promise.all(all);
  assert.deepEqual(batches, [[1, 2, 3]]);
});

test("no batch is larger than allowed, and the order is that of arrival", async () => {
  const { commits, batches, gate } = gatedCommit(2);
  const all = [1, 2, 3, 4, 5].map((item) => commits.submit(item));
  for (let index = 0; index < 3; index++) {
    await turn();
    gate(index).resolve();
  }
  await Promise.all(all);
  assert.deepEqual(batches, [[1, 2], [3, 4], [5]]);
});

test("a batch that fails rejects its own items, and the next one is committed", async () => {
  const { commits, gate } = gatedCommit();
  const first = commits.submit(1);
  await turn();
  const second = commits.submit(2);
  gate(0).reject(new Error("the disk is full"));
  await assert.rejects(first, /the disk is full/);
  await turn();
  gate(1).resolve();
  assert.equal(await second, "done 2");
});

test("one item may fail while the others of its batch are committed", async () => {
  const commits = groupCommit<number, number>({
    maxItems: 10,
    commit: async (items) => items.map((item) => (item < 0 ? { ok: false, error: new Error(`no ${item}`) } : ok(item))),
  });
  const results = await Promise.allSettled([commits.submit(1), commits.submit(-2), commits.submit(3)]);
  const statuses = results.map(({ status }) => status);
  assert.deepEqual(statuses, ["fulfilled", "rejected", "fulfilled"]);
});

test("an item without an outcome is rejected, not forgotten", async () => {
  const commits = groupCommit<number, number>({ maxItems: 10, commit: async () => [ok(1)] });
  const [first, second] = await Promise.allSettled([commits.submit(1), commits.submit(2)]);
  assert.equal(first.status, "fulfilled");
  assert.match(String(second.status === "rejected" && second.reason), /has no outcome/);
});

test("a commit that throws at once is a batch that fails", async () => {
  const commits = groupCommit<number, number>({
    maxItems: 10,
    commit() {
      throw new Error("not even begun");
    },
  });
  await assert.rejects(commits.submit(1), /not even begun/);
  await commits.drained();
});

test("an item that spoils its batch fails alone: the others are committed one by one", async () => {
  const batches: number[][] = [];
  const commits = groupCommit<number, number>({
    maxItems: 10,
    blames: (error) => error instanceof RangeError,
    async commit(items) {
      batches.push([...items]);
      if (items.includes(13)) throw new RangeError("13 can not be stored");
      return items.map(ok);
    },
  });
  const results = await Promise.allSettled([1, 13, 2].map((item) => commits.submit(item)));
  assert.deepEqual(
    results.map((result) => (result.status === "fulfilled" ? result.value : result.reason.message)),
    [1, "13 can not be stored", 2],
  );
  assert.deepEqual(batches, [[1, 13, 2], [1], [13], [2]]);
});

test("what is no item's fault fails the batch: nothing is tried one by one", async () => {
  let calls = 0;
  const commits = groupCommit<number, number>({
    maxItems: 10,
    blames: (error) => error instanceof RangeError,
    async commit() {
      calls++;
      throw new Error("the database is away");
    },
  });
  const results = await Promise.allSettled([1, 2, 3].map((item) => commits.submit(item)));
  assert.ok(results.every(({ status }) => status === "rejected"));
  assert.equal(calls, 1);
});

test("drained waits for all that was handed in, and for nothing when there is nothing", async () => {
  const { commits, gate } = gatedCommit();
  await commits.drained();
  let drained = false;
  const item = commits.submit(1);
  const waiting = commits.drained().then(() => {
    drained = true;
  });
  await turn();
  const late = commits.submit(2);
  gate(0).resolve();
  await item;
  await turn();
  assert.equal(drained, false);
  gate(1).resolve();
  await waiting;
  await late;
});

test("whatever comes when: each item is answered once with its own result, in batches within the limit", async () => {
  const wave = fc.record({ items: fc.array(fc.nat(1000), { maxLength: 8 }), fails: fc.boolean() });
  const plan = fc.array(wave, { maxLength: 12 });
  await fc.assert(
    fc.asyncProperty(plan, fc.integer({ min: 1, max: 5 }), async (waves, maxItems) => {
      const committed: number[] = [];
      let batch = 0;
      const commits = groupCommit<number, number>({
        maxItems,
        async commit(items) {
          assert.ok(items.length >= 1 && items.length <= maxItems);
          await turn();
          if (waves[batch++]?.fails) throw new Error("this batch fails");
          committed.push(...items);
          return items.map(ok);
        },
      });
      const asked: number[] = [];
      const answers: Promise<number | undefined>[] = [];
      for (const { items } of waves) {
        for (const item of items) {
          asked.push(item);
          answers.push(commits.submit(item).catch(() => undefined));
        }
        await turn();
      }
      const results = await Promise.all(answers);
      await commits.drained();
      assert.equal(commits.pending, 0);
      results.forEach((result, index) => {
        assert.ok(result === undefined || result === asked[index]);
      });
      assert.deepEqual(
        committed,
        results.filter((result) => result !== undefined),
      );
    }),
    { numRuns: 60 },
  );
});
