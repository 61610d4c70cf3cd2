import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { decodePayload, encodePayloads } from "./bus-payload.ts";

const key = fc
  .tuple(fc.bigInt({ min: 1n, max: 2n ** 63n - 1n }), fc.string({ minLength: 1, unit: "grapheme" }))
  .map(([runId, name]) => ({ runId, name }));

test("what is encoded is decoded, whatever names clients choose, in payloads that PostgreSQL takes", () => {
  fc.assert(
    fc.property(
      fc.array(key, { maxLength: 300 }),
      fc.array(key, { maxLength: 20 }),
      fc.record(
        { work: fc.boolean(), retries: fc.boolean(), endings: fc.boolean(), routes: fc.boolean() },
        { noNullPrototype: true },
      ),
      (changed, reported, hint) => {
        const payloads = encodePayloads({ replica: "ab", hint, changed, reported });
        const decoded = payloads.map(decodePayload);
        assert.ok(payloads.every((payload) => Buffer.byteLength(payload) < 8000));
        assert.deepEqual(
          decoded.flatMap((one) => one.changed),
          changed,
        );
        assert.deepEqual(
          decoded.flatMap((one) => one.reported),
          reported,
        );
        assert.ok(decoded.every((one) => one.replica === "ab"));
        assert.deepEqual(decoded[0]?.hint, hint);
      },
    ),
  );
});
