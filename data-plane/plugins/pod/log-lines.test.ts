/** A container's log as a kubelet sends it, read in pieces and gone on with: against any cuts and any times. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type KubeLine, kubeLines, type LogMark, sinceOf } from "./log-lines.ts";

const stampOf = (nanos: number) => {
  const seconds = Math.floor(nanos / 1e9);
  const at = new Date(Date.UTC(2026, 0, 1) + seconds * 1000).toISOString().slice(0, 19);
  return `${at}.${String(nanos % 1e9).padStart(9, "0")}Z`;
};

interface Line {
  nanos: number;
  text: string;
}

/** What a kubelet sends: lines from a second on. */
function sent(lines: readonly Line[], since?: string): Buffer {
  const from = since === undefined ? 0 : Date.parse(since);
  return Buffer.from(
    lines
      .filter(({ nanos }) => Date.parse(stampOf(nanos)) >= from)
      .map(({ nanos, text }) => `${stampOf(nanos)} ${text}\n`)
      .join(""),
  );
}

function pushed(reader: ReturnType<typeof kubeLines>, bytes: Buffer, size: number): KubeLine[] {
  const lines: KubeLine[] = [];
  for (let at = 0; at < bytes.length; at += size) lines.push(...reader.push(bytes.subarray(at, at + size)));
  return lines;
}

const textOf = (lines: readonly KubeLine[]) => Buffer.concat(lines.map(({ bytes }) => bytes)).toString();

/** Many lines of one time, and times that go back a little: two streams are stamped before they become one. */
const logs = fc
  .array(
    fc.record({
      step: fc.constantFrom(0, 0, 1, 400_000_000, 1_500_000_000),
      back: fc.constantFrom(0, 0, 0, 2_000),
      text: fc.string({ unit: "grapheme", maxLength: 12 }).map((text) => text.replaceAll("\n", "")),
    }),
    { maxLength: 30 },
  )
  .map((steps) => {
    let nanos = 5_000_000_000;
    return steps.map(({ step, back, text }, index): Line => {
      nanos += step;
      return { nanos: nanos - (back === 0 ? 0 : back + index), text };
    });
  });

test("broken off anywhere and gone on with, every line comes out once, in order", () => {
  fc.assert(
    fc.property(logs, fc.array(fc.nat(400), { maxLength: 4 }), fc.integer({ min: 1, max: 50 }), (log, cuts, size) => {
      let mark: LogMark | undefined;
      let text = "";
      for (const cut of [...cuts, Number.POSITIVE_INFINITY]) {
        const reader = kubeLines(mark);
        const body = sent(log, mark && sinceOf(mark)).subarray(0, cut);
        const lines = pushed(reader, body, size);
        // A connection that breaks says nothing of an end.
        if (cut === Number.POSITIVE_INFINITY) lines.push(...reader.end(true));
        text += textOf(lines);
        mark = lines.at(-1)?.mark ?? mark;
        assert.equal(reader.lost, false);
      }
      assert.equal(text, log.map((line) => `${line.text}\n`).join(""));
    }),
  );
});

test("a line longer than a piece is gone on with inside", () => {
  const long = "é".repeat(150_000);
  const log = [
    { nanos: 1, text: "before" },
    { nanos: 2, text: long },
    { nanos: 3, text: "after" },
  ];
  const all = sent(log);
  const first = kubeLines();
  const taken = pushed(first, all.subarray(0, 200_000), 10_000);
  const mark = taken.at(-1)?.mark;
  assert.equal(mark?.open, true);
  assert.deepEqual(
    taken.map(({ begins }) => begins),
    [true, true, false, false],
  );
  const second = kubeLines(mark);
  const more = [...pushed(second, all, 70_000), ...second.end(false)];
  assert.equal(textOf(taken) + textOf(more), `before\n${long}\nafter\n`);
  assert.equal(more[0]?.begins, false);
  // Cut at the second of a later one, a kubelet begins inside of a line, without a time.
  const third = kubeLines({ stamp: stampOf(3), nth: 1, bytes: 6, open: false });
  assert.deepEqual(
    third.push(Buffer.from(`ééé\n${stampOf(3)} after\n${stampOf(4)} next\n`)).map(({ bytes }) => String(bytes)),
    ["next\n"],
  );
});

test("what has no newline is a line once its container has ended, and not before", () => {
  const body = Buffer.from(`${stampOf(1)} one\n${stampOf(2)} two`);
  const running = kubeLines();
  assert.equal(textOf([...running.push(body), ...running.end(false)]), "one\n");
  const over = kubeLines();
  assert.equal(textOf([...over.push(body), ...over.end(true)]), "one\ntwo");
});

test("a mark that is not there any more: nothing newer is lost, and it is known that something may be", () => {
  const mark = { stamp: stampOf(5_000_000_000), nth: 3, bytes: 1, open: false };
  const newer = sent([
    { nanos: 4_900_000_000, text: "known" },
    { nanos: 5_000_000_001, text: "a" },
    { nanos: 5_000_000_002, text: "b" },
  ]);
  const short = kubeLines(mark);
  assert.deepEqual(short.push(newer), []);
  assert.equal(short.lost, false);
  assert.equal(textOf(short.end(false)), "a\nb\n");
  assert.equal(short.lost, true);
  // One that goes on does not wait for its end.
  const long = kubeLines(mark);
  const lines = long.push(Buffer.concat([newer, sent([{ nanos: 9_000_000_000, text: "much later" }])]));
  assert.equal(textOf(lines), "a\nb\nmuch later\n");
  assert.equal(long.lost, true);
  // Nothing new is nothing lost.
  const none = kubeLines(mark);
  assert.deepEqual(none.end(true), []);
  assert.equal(none.lost, false);
});

test("a kubelet's own words are no lines", () => {
  const reader = kubeLines();
  assert.deepEqual([...reader.push(Buffer.from("unable to retrieve container logs for x\n")), ...reader.end(true)], []);
  assert.equal(reader.said, "unable to retrieve container logs for x");
});

test("bytes that are no text stay as they are", () => {
  const bytes = Buffer.from([0xff, 0x00, 0x20, 0xc3, 0x0d, 0x0a]);
  const reader = kubeLines();
  const lines = reader.push(Buffer.concat([Buffer.from(`${stampOf(1)} `), bytes]));
  assert.deepEqual(lines[0]?.bytes, bytes);
});
