/** Lines are the same wherever the chunks were cut. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { jsonLines } from "./json-lines.ts";

test("any cut of any lines gives the values in order", () => {
  const values = fc.array(
    fc.record({ text: fc.string({ unit: "grapheme", maxLength: 40 }), n: fc.integer() }, { noNullPrototype: true }),
  );
  fc.assert(
    fc.property(values, fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1 }), (sent, sizes) => {
      const bytes = Buffer.from(sent.map((value) => `${JSON.stringify(value)}\n`).join(""));
      const lines = jsonLines();
      const got: unknown[] = [];
      for (let from = 0, turn = 0; from < bytes.length; turn++) {
        const size = sizes[turn % sizes.length] as number;
        got.push(...lines.push(bytes.subarray(from, from + size)));
        from += size;
      }
      assert.deepEqual(got, sent);
    }),
  );
});

test("empty lines are nothing, an unfinished line waits, an endless one is refused", () => {
  const lines = jsonLines({ maxLineBytes: 10 });
  assert.deepEqual(lines.push(Buffer.from("\n\r\n1\n[2")), [1]);
  assert.deepEqual(lines.push(Buffer.from("]\n")), [[2]]);
  assert.throws(() => lines.push(Buffer.from("x".repeat(11))), /more than 10 bytes/);
});

test("what is no JSON is refused", () => {
  assert.throws(() => jsonLines().push(Buffer.from("<html>\n")), SyntaxError);
});
