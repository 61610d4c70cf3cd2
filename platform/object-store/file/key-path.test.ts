import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { whyInvalidKey } from "../uri.ts";
import { fromBytes, keyToPath, readEntry } from "./key-path.ts";

/** Keys of all shapes, biased to what paths get wrong. */
const keys = fc
  .array(
    fc.oneof(
      fc.string({ unit: "binary", maxLength: 100 }),
      fc.string({
        unit: fc.constantFrom(".", "%", "!", "+", "~", "A", "a", "é", "e\u0301", "😀", "\\", ":"),
        maxLength: 170,
      }),
      fc.constantFrom("..", ".", "a".repeat(80), `${"a".repeat(80)}..`, `${"b".repeat(160)}.`, "con"),
    ),
    { minLength: 1, maxLength: 6 },
  )
  .map((segments) => segments.join("/"))
  .filter((key) => whyInvalidKey(key) === undefined);

function pathToKey(path: string): string | undefined {
  const names = path.split("/");
  const entries = names.map((name, i) => readEntry(name, i < names.length - 1));
  return entries.includes(undefined) ? undefined : fromBytes(entries.map((entry) => entry?.bytes).join(""));
}

describe("keys as paths", () => {
  it("come back as they were, from names every file system takes, below the bucket", () => {
    fc.assert(
      fc.property(keys, (key) => {
        const path = keyToPath(key);
        assert.equal(pathToKey(path), key);
        assert.match(path, /^[a-z0-9._=@!%+-]+(\/[a-z0-9._=@!%+-]+)*$/);
        for (const name of path.split("/")) {
          assert.ok(name.length <= 255 && name !== "." && name !== "..", name);
        }
      }),
      { numRuns: 2000 },
    );
  });

  it("differ where keys differ, also when case is folded, and no file stands where a folder must", () => {
    fc.assert(
      fc.property(keys, keys, (one, two) => {
        const [a, b] = [keyToPath(one), keyToPath(two)];
        assert.equal(a.toLowerCase() === b.toLowerCase(), one === two);
        assert.ok(!a.startsWith(`${b}/`) && !b.startsWith(`${a}/`));
      }),
      { numRuns: 2000 },
    );
  });

  it("read no foreign file as an object", () => {
    for (const name of [".DS_Store", "a b", "%zz", "%2", "%C3", "!1", "%61", "é", "undefinedÿ"]) {
      assert.equal(readEntry(name, false), undefined, name);
    }
    for (const name of ["plain", "a~"]) assert.equal(readEntry(name, true), undefined, name);
  });

  it("stay readable where keys are plain", () => {
    assert.equal(keyToPath("proj/dev/r123/a0/1/outputs.pb"), "proj+/dev+/r123+/a0+/1+/outputs.pb");
    assert.equal(keyToPath("A b"), "!a%20b");
    assert.equal(keyToPath("folder/"), "folder+/%");
  });
});
