import assert from "node:assert/strict";
import test from "node:test";
import { create } from "@bufbuild/protobuf";
import { DurationSchema, TimestampSchema } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { systemClock, toDate, toDuration, toMs, toTimestamp } from "./time.ts";

test("a date survives the wire, also one before 1970", () => {
  const min = new Date("0001-01-01T00:00:00Z");
  const max = new Date("9999-12-31T23:59:59.999Z");
  fc.assert(
    fc.property(fc.date({ min, max, noInvalidDate: true }), (date) => {
      const timestamp = toTimestamp(date);
      assert.ok(timestamp.nanos >= 0 && timestamp.nanos < 1_000_000_000);
      assert.equal(toDate(timestamp).getTime(), date.getTime());
    }),
  );
});

test("finer parts than milliseconds are cut off", () => {
  const timestamp = create(TimestampSchema, { seconds: 1n, nanos: 1_999_999 });
  assert.equal(toDate(timestamp).getTime(), 1001);
});

test("a duration survives the wire and is always a valid one", () => {
  const ms = fc.oneof(fc.integer({ min: -1e12, max: 1e12 }), fc.double({ min: -1e9, max: 1e9, noNaN: true }));
  fc.assert(
    fc.property(ms, (value) => {
      const duration = toDuration(value);
      assert.ok(Math.abs(duration.nanos) < 1_000_000_000);
      assert.ok(Number(duration.seconds) * duration.nanos >= 0, "seconds and nanos have one sign");
      assert.ok(Math.abs(toMs(duration) - value) < 0.001);
      if (Number.isInteger(value)) assert.equal(toMs(duration), value + 0);
    }),
  );
  assert.deepEqual(toDuration(999.9999999), create(DurationSchema, { seconds: 1n, nanos: 0 }));
});

test("an absent duration is none", () => {
  assert.equal(toMs(undefined), 0);
});

test("the system's clock goes", () => {
  const before = Date.now();
  assert.ok(systemClock.now().getTime() >= before);
});
