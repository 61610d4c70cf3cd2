import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { lru } from "./lru.ts";

test("forgets what was not asked for longest", () => {
  const cache = lru<string, number>(2);
  cache.set("a", 1);
  cache.set("b", 2);
  assert.equal(cache.get("a"), 1);
  cache.set("c", 3);
  assert.equal(cache.get("b"), undefined);
  assert.equal(cache.get("a"), 1);
  assert.equal(cache.get("c"), 3);
});

test("setting again renews the value and its age; deleting makes room", () => {
  const cache = lru<string, number>(2);
  cache.set("a", 1);
  cache.set("b", 2);
  cache.set("a", 10);
  cache.set("c", 3);
  assert.equal(cache.get("a"), 10);
  assert.equal(cache.get("b"), undefined);
  cache.delete("a");
  assert.equal(cache.get("a"), undefined);
  cache.set("d", 4);
  assert.equal(cache.get("c"), 3);
  assert.equal(cache.get("d"), 4);
});

test("behaves as a list of the most recently used", () => {
  const key = fc.integer({ min: 0, max: 6 });
  const use = fc.record({ kind: fc.constantFrom("get", "set", "delete"), key, value: fc.nat() });
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 4 }), fc.array(use, { maxLength: 60 }), (capacity, uses) => {
      const cache = lru<number, number>(capacity);
      let recent: [number, number][] = [];
      for (const one of uses) {
        const found = recent.find(([known]) => known === one.key);
        if (one.kind === "get") assert.equal(cache.get(one.key), found?.[1]);
        if (one.kind === "set") cache.set(one.key, one.value);
        if (one.kind === "delete") cache.delete(one.key);
        recent = recent.filter((entry) => entry !== found);
        if (one.kind === "get" && found) recent.push(found);
        if (one.kind === "set") recent.push([one.key, one.value]);
        recent = recent.slice(-capacity);
      }
    }),
  );
});
