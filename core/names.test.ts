import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { isRunName, newRunName } from "./names.ts";

test("what may be a run's name", () => {
  const good = ["a", "r1", "a-b", "nightly-2026-01-01", "r".repeat(30)];
  const bad = ["", "-a", "a-", "1a", "A", "a_b", "a.b", "a b", "ä", "a\n", "\na", "r".repeat(31)];
  for (const name of good) assert.ok(isRunName(name), name);
  for (const name of bad) assert.ok(!isRunName(name), JSON.stringify(name));
});

test("made names are run names of one length and differ", () => {
  const names = Array.from({ length: 2000 }, newRunName);
  for (const name of names) assert.match(name, /^r[0-9a-z]{19}$/);
  assert.ok(names.every(isRunName));
  assert.equal(new Set(names).size, names.length);
});

test("a run's name is a DNS-1035 label of at most 30 characters, and no other string is", () => {
  const pieces = fc.constantFrom("a", "z", "0", "9", "-", "A", "_", ".", " ", "\n", "é");
  fc.assert(
    fc.property(fc.string({ unit: pieces, maxLength: 34 }), (name) => {
      const allowed = (c: string) => (c >= "a" && c <= "z") || (c >= "0" && c <= "9") || c === "-";
      const expected =
        name.length >= 1 &&
        name.length <= 30 &&
        [...name].every(allowed) &&
        /[a-z]/.test(name.charAt(0)) &&
        !name.endsWith("-");
      assert.equal(isRunName(name), expected);
    }),
  );
});
