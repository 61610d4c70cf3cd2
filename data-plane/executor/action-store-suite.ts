/** What every adapter of the action store must do. Call it from the adapter's test. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type ActionStore, amend, type NewActionRecord, StaleRecordError } from "./action-store.ts";
import { keyOf, leaseOf } from "./testing/leases.ts";

function record(name: string): NewActionRecord {
  const lease = leaseOf({ name });
  return { key: keyOf(lease), lease, transitions: [], details: {}, released: false };
}

export function actionStoreSuite(name: string, open: () => Promise<ActionStore & Partial<AsyncDisposable>>): void {
  const withStore = (title: string, body: (store: ActionStore) => Promise<void>) =>
    test(`${name}: ${title}`, async () => {
      const store = await open();
      try {
        await body(store);
      } finally {
        await store[Symbol.asyncDispose]?.();
      }
    });

  withStore("create is idempotent and keeps the first record", async (store) => {
    const first = await store.create(record("a"));
    const second = await store.create({ ...record("a"), released: true });
    assert.equal(second.version, first.version);
    assert.equal((await store.get(first.key))?.released, false);
  });

  withStore("what is stored comes back, with lease, notes, phases and ending", async (store) => {
    const made = await store.create(record("a"));
    const at = new Date(1000);
    await store.update({
      ...made,
      pluginState: { pid: 7, token: "t", lost: null, adopted: true },
      transitions: [
        { phase: "running", at },
        { phase: "failed", at, error: { code: "C", message: "m", kind: "user", recoverable: false } },
      ],
      details: { logsAvailable: true },
      ending: { phase: "aborted", reason: "enough" },
      released: true,
    });
    const read = await store.get(made.key);
    assert.deepEqual(read?.pluginState, { pid: 7, token: "t", lost: null, adopted: true });
    assert.equal(read?.transitions[1]?.phase, "failed");
    assert.deepEqual(read?.transitions[0]?.at, at);
    assert.deepEqual(read?.ending, { phase: "aborted", reason: "enough" });
    assert.equal(read?.lease.ref?.name, "a");
    assert.equal(read?.released, true);
  });

  withStore("an update of an old version is refused", async (store) => {
    const made = await store.create(record("a"));
    await store.update({ ...made, released: true });
    await assert.rejects(store.update({ ...made, details: {} }), StaleRecordError);
    assert.equal((await store.get(made.key))?.released, true);
  });

  withStore("an update of a deleted record is refused", async (store) => {
    const made = await store.create(record("a"));
    await store.delete(made.key);
    await store.delete(made.key);
    assert.equal(await store.get(made.key), undefined);
    await assert.rejects(store.update(made), StaleRecordError);
  });

  withStore("amendments from many sides are all kept", async (store) => {
    const { key } = await store.create(record("a"));
    const add = (n: number) =>
      amend(store, key, (current) => ({ ...current, pluginState: { ...current.pluginState, [`k${n}`]: n } }));
    await Promise.all(Array.from({ length: 20 }, (_, n) => add(n)));
    assert.equal(Object.keys((await store.get(key))?.pluginState ?? {}).length, 20);
  });

  withStore("list sees every create before it", async (store) => {
    await Promise.all(["a", "b", "c"].map((one) => store.create(record(one))));
    assert.deepEqual((await store.list()).map((one) => one.lease.ref?.name).sort(), ["a", "b", "c"]);
  });

  withStore("changes end with their signal", async (store) => {
    const stop = new AbortController();
    const reading = (async () => {
      for await (const _ of store.changes(stop.signal));
    })();
    stop.abort();
    await reading;
  });
}
