/** Which versions of an object are news, and what is done one after the other. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { isNewer } from "./held.ts";
import { keyedLock } from "./keyed-lock.ts";
import { toldKeys } from "./told-keys.ts";

test("versions are compared as numbers, others by being different", () => {
  const cases: [string | undefined, string, boolean][] = [
    ["10", "9", true],
    ["9", "10", false],
    ["10", "10", false],
    ["99999999999999999999", "99999999999999999998", true],
    [undefined, "1", false],
    ["a", "b", true],
    ["a", "a", false],
  ];
  for (const [version, than, expected] of cases) assert.equal(isNewer(version, than), expected, `${version} ${than}`);
});

test("jobs of one key follow each other, also after a throw; other keys do not wait", async () => {
  const lock = keyedLock();
  const order: string[] = [];
  const gate = Promise.withResolvers<void>();
  const first = lock.run("a", async () => {
    await gate.promise;
    order.push("a1");
    throw new Error("bad luck");
  });
  const second = lock.run("a", async () => void order.push("a2"));
  await lock.run("b", async () => void order.push("b"));
  assert.equal(lock.busy("a"), true);
  gate.resolve();
  await assert.rejects(first, /bad luck/);
  await second;
  await lock.idle();
  assert.deepEqual(order, ["b", "a1", "a2"]);
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(lock.busy("a"), false);
});

test("a key that is told many times is read once, and what was told before reading is not lost", async () => {
  const told = toldKeys();
  told.add("a");
  told.add("a");
  const stop = new AbortController();
  const read: string[] = [];
  const reading = (async () => {
    for await (const key of told.follow(stop.signal)) {
      read.push(key);
      if (key === "a") setImmediate(() => told.add("b"));
      if (key === "b") stop.abort();
    }
  })();
  await reading;
  assert.deepEqual(read, ["a", "b"]);
});
