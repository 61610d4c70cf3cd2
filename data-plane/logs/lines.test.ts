/** Line cutting and the stored form, against arbitrary bytes in arbitrary chunks. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { lineCutter } from "./lines.ts";
import { parseStamps, stamps, stampText } from "./stamps.ts";
import { decodeLog, encodePiece, HEADER } from "./stored-log.ts";

const chunks = fc.array(
  fc.oneof(
    fc.uint8Array({ maxLength: 40 }),
    fc.string({ unit: "binary", maxLength: 20 }).map((text) => Buffer.from(text)),
    fc.constant(Buffer.from("\n")),
  ),
);

test("every byte comes out once, in order, and only line ends hold a newline", () => {
  fc.assert(
    fc.property(chunks, fc.integer({ min: 4, max: 32 }), (input, limit) => {
      const cutter = lineCutter(0, limit);
      const pieces = [...input.flatMap((chunk) => cutter.push(Buffer.from(chunk))), ...cutter.flush()];
      const whole = Buffer.concat(input);
      assert.deepEqual(Buffer.concat(pieces.map((piece) => piece.bytes)), whole);
      let start = 0;
      for (const { bytes, start: at } of pieces) {
        assert.equal(at, start);
        assert.ok(bytes.length > 0 && bytes.length <= limit);
        const newline = bytes.indexOf(0x0a);
        assert.ok(newline < 0 || newline === bytes.length - 1);
        start += bytes.length;
      }
    }),
  );
});

test("a long line is never cut inside a character", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: "binary", minLength: 1, maxLength: 200 }),
      fc.integer({ min: 4, max: 20 }),
      (text, limit) => {
        const cutter = lineCutter(0, limit);
        const pieces = [...cutter.push(Buffer.from(text)), ...cutter.flush()];
        assert.equal(pieces.map((piece) => piece.bytes.toString("utf8")).join(""), Buffer.from(text).toString("utf8"));
      },
    ),
  );
});

test("a stored log is read back as it was, whatever its bytes", async () => {
  await fc.assert(
    fc.asyncProperty(chunks, fc.integer({ min: 1, max: 50 }), async (input, size) => {
      const cutter = lineCutter();
      const pieces = [...input.flatMap((chunk) => cutter.push(Buffer.from(chunk))), ...cutter.flush()];
      const stored = Buffer.concat([
        Buffer.from(HEADER),
        ...pieces.map((piece, index) => encodePiece(piece, 1000 + index)),
      ]);
      async function* body() {
        for (let at = 0; at < stored.length; at += size) yield stored.subarray(at, at + size);
      }
      const lines = [];
      for await (const batch of decodeLog(body(), 3)) {
        assert.ok(batch.length <= 3);
        lines.push(...batch);
      }
      assert.deepEqual(
        lines.map((line) => line.message),
        pieces.map((piece) => piece.bytes.toString("utf8")),
      );
      assert.deepEqual(
        lines.map((line) => line.timestamp.getTime()),
        pieces.map((_, index) => 1000 + index),
      );
    }),
  );
});

test("something else is not taken for a log", async () => {
  async function* body() {
    yield Buffer.from("hello\n");
  }
  await assert.rejects(async () => {
    for await (const _ of decodeLog(body(), 10));
  }, /not a log/);
});

test("stamps answer with the time at which a byte arrived, also after reading them back torn", () => {
  const times = stamps();
  times.add(10, 100);
  times.add(10, 150);
  times.add(25, 200);
  assert.deepEqual(
    [0, 9, 10, 24, 25].map((offset) => times.at(offset)),
    [100, 100, 200, 200, undefined],
  );
  const read = parseStamps(`${stampText(10, 100)}${stampText(25, 200)}30 3`);
  assert.equal(read.end, 25);
  assert.equal(read.at(12), 200);
});

test("stamps of a very long log stay small and in order", () => {
  const times = stamps();
  for (let index = 1; index <= 100_000; index += 1) times.add(index * 10, index);
  const seen = [5, 100_000, 500_000, 999_999].map((offset) => times.at(offset) ?? 0);
  assert.deepEqual(
    seen,
    [...seen].sort((a, b) => a - b),
  );
  assert.ok(Math.abs((times.at(999_999) ?? 0) - 100_000) < 20);
});
