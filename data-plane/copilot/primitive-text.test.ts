/** Texts of files, row by row. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { SimpleType } from "@flyte-ts/contract/flyteidl2/core/types_pb.ts";
import { parsePrimitive } from "./primitive-text.ts";

test("texts as values of a type", () => {
  const { INTEGER, FLOAT, STRING, BOOLEAN, DATETIME, DURATION, STRUCT } = SimpleType;
  const time = (seconds: bigint, nanos = 0) => ({ seconds, nanos });
  const rows: [text: string, type: SimpleType, value: unknown][] = [
    [" 12\n", INTEGER, 12n],
    ["+7", INTEGER, 7n],
    ["-9223372036854775808", INTEGER, -9223372036854775808n],
    ["9223372036854775808", INTEGER, undefined],
    ["12.5", INTEGER, undefined],
    ["", INTEGER, undefined],
    ["1e3\n", FLOAT, 1000],
    [".5", FLOAT, 0.5],
    ["-inf", FLOAT, Number.NEGATIVE_INFINITY],
    ["NaN", FLOAT, Number.NaN],
    ["0x10", FLOAT, undefined],
    ["True", BOOLEAN, true],
    ["0\n", BOOLEAN, false],
    ["yes", BOOLEAN, undefined],
    [" kept \n", STRING, " kept \n"],
    ["2024-02-29T12:00:00Z\n", DATETIME, time(1709208000n)],
    ["2024-02-29 13:00:00.123456789+01:00", DATETIME, time(1709208000n, 123456789)],
    ["2024-02-29T12:00:00", DATETIME, time(1709208000n)],
    ["2024-02-29T13:00:00+0100", DATETIME, time(1709208000n)],
    ["1969-12-31T23:59:59.5Z", DATETIME, time(-1n, 500_000_000)],
    ["2024-02-29", DATETIME, time(1709164800n)],
    ["2024-13-01", DATETIME, undefined],
    ["yesterday", DATETIME, undefined],
    ["1h2m3.5s", DURATION, time(3723n, 500_000_000)],
    ["-250ms", DURATION, time(0n, -250_000_000)],
    ["0", DURATION, time(0n)],
    ["1 day, 2:03:04.000005", DURATION, time(93784n, 5_000)],
    ["-1 day, 23:59:59", DURATION, time(-1n)],
    ["0:00:01\n", DURATION, time(1n)],
    ["3", DURATION, undefined],
    ["{}", STRUCT, undefined],
  ];
  for (const [text, type, expected] of rows) {
    const parsed = parsePrimitive(text, type)?.value;
    const plain = typeof parsed === "object" ? time(parsed.seconds, parsed.nanos) : parsed;
    assert.deepEqual(plain, expected, JSON.stringify(text));
  }
});
