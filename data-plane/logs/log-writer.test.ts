/** A log that is written here and read elsewhere, over one real store, at every moment of its life. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { systemClock } from "@flyte-ts/core";
import { type FileStore, openFileStore, StoreUnavailableError } from "@flyte-ts/platform/object-store";
import { silentLog } from "../executor/log.ts";
import { type LogLine, LogNotFoundError, type LogReaders, logReaders, logStore, logWriter } from "./index.ts";
import { listParts, partOf, partsUri } from "./log-parts.ts";
import { markRead } from "./log-readers.ts";
import { storedUri } from "./stored-log.ts";

const uri = "s3://flyte-data/p/d/r/a0/1";

async function fixture(t: TestContext) {
  const folder = await mkdtemp(join(tmpdir(), "flyte-ts-log-parts-"));
  const open = () => openFileStore({ folder, root: "s3://flyte-data", sync: "none" });
  const objects = await open();
  const elsewhere = await open();
  t.after(async () => {
    await objects.close();
    await elsewhere.close();
    await rm(folder, { recursive: true, force: true });
  });
  const state = { away: false, limit: 1024 * 1024, note: "", isRead: false };
  const objectStore: Pick<FileStore, "root" | "put" | "stream" | "list" | "delete"> = {
    root: objects.root,
    stream: objects.stream,
    list: objects.list,
    delete: objects.delete,
    async put(target, body, options) {
      if (state.away) throw new StoreUnavailableError(target, "a test took it away");
      return objects.put(target, body, options);
    },
  };
  const written: Promise<void>[] = [];
  const write = () =>
    logWriter({
      attemptUri: uri,
      objectStore,
      log: silentLog,
      note: () => state.note,
      isRead: () => state.isRead,
      limit: () => state.limit,
      later: (work) => void written.push(work()),
    });
  const reader = () =>
    logStore({
      objectStore: elsewhere,
      clock: systemClock,
      log: silentLog,
      maxLines: 7,
      times: { pollMs: 20, maxPollMs: 100, askMs: 10, lateMs: 50 },
    });
  return { objects, write, reader, state, settled: () => Promise.all(written) };
}

type Fixture = Awaited<ReturnType<typeof fixture>>;

const line = (text: string, atMs = 1, source = "main") => ({ source, bytes: Buffer.from(text), atMs });
const text = (lines: readonly LogLine[]) => lines.map(({ message }) => message).join("");

async function read(logs: ReturnType<Fixture["reader"]>, more: { over?: () => Promise<boolean> } = {}) {
  const lines: LogLine[] = [];
  for await (const batch of logs.tail({ attemptUri: uri, ...more })) lines.push(...batch.lines);
  return lines;
}

test("readers that come at any moment get every line once, while parts become larger parts and then one object", async (t) => {
  const { objects, write, reader, settled, state } = await fixture(t);
  await assert.rejects(read(reader()), LogNotFoundError);
  let writer = await write();
  let all = "";
  const readers: Promise<LogLine[]>[] = [];
  let largest = 0;
  for (let index = 0; index < 600; index += 1) {
    const whole = index % 7 !== 3;
    const one = `${index} ${"x".repeat((index * 37) % 900)}${whole ? "\n" : ""}`;
    all += one;
    writer.add(line(one, index));
    state.note = `after ${index}`;
    if (index % 2 === 0) await writer.flush();
    if (index % 100 === 0) readers.push(read(reader()));
    if (index === 301) {
      // Killed with a line that was not stored; its next life learns how far it was.
      const held = one.length;
      all = all.slice(0, -held);
      writer.close();
      writer = await write();
      assert.equal(writer.note, "after 300");
      writer.add(line(one, index));
      all += one;
    }
    if (index % 50 === 49) largest = Math.max(largest, (await listParts(objects, uri)).length);
  }
  assert.ok(largest < 60, `${largest} parts at once`);
  await writer.finish();
  readers.push(read(reader()));
  await settled();
  readers.push(read(reader()));
  for (const lines of await Promise.all(readers)) {
    assert.equal(text(lines), all);
    assert.deepEqual(
      lines.map(({ timestamp }) => timestamp.getTime()),
      lines.map((_, index) => index),
    );
  }
  assert.deepEqual((await objects.list(partsUri(uri))).objects, []);
});

test("a log that is over before its first part was due is one object", async (t) => {
  const { objects, write, reader } = await fixture(t);
  const writer = await write();
  writer.add(line("one\n", 5, "a"));
  writer.add(line("three\n", 9, "a"));
  writer.add(line("two\n", 7, "b"));
  // Of one source, however its times go.
  writer.add(line("four\n", 6, "a"));
  writer.add({ ...line("ours\n", 10), system: true });
  await writer.finish();
  const { objects: stored } = await objects.list(uri);
  assert.deepEqual(
    stored.map((object) => object.uri),
    [storedUri(uri)],
  );
  const lines = await read(reader());
  assert.equal(text(lines), "one\ntwo\nthree\nfour\nours\n");
  assert.deepEqual(
    lines.map(({ timestamp, system }) => [timestamp.getTime(), system ?? false]),
    [
      [5, false],
      [7, false],
      [9, false],
      [6, false],
      [10, true],
    ],
  );
});

test("a store that is away: what is held has its bounds, nothing is lost, and finish says that it must come again", async (t) => {
  const { write, reader, state } = await fixture(t);
  const writer = await write();
  state.limit = 100;
  state.away = true;
  const never = new AbortController();
  let all = "";
  while (!writer.full) {
    all += "0123456789\n";
    writer.add(line("0123456789\n"));
  }
  assert.ok(writer.bytes < 250);
  const room = writer.room(never.signal);
  await assert.rejects(writer.finish(), StoreUnavailableError);
  await assert.rejects(writer.finish(), StoreUnavailableError);
  state.away = false;
  await writer.flush();
  await room;
  writer.add(line("last\n"));
  await writer.finish();
  assert.equal(text(await read(reader())), `${all}last\n`);
});

test("lines are stored by themselves: soon at first and for readers, at once when there are many", async (t) => {
  const { write, reader, state, objects } = await fixture(t);
  const writer = await write();
  const parts = async () => (await listParts(objects, uri)).length;
  const until = async (count: number) => {
    while ((await parts()) < count) await new Promise((resolve) => setImmediate(resolve));
  };
  writer.add(line("first\n"));
  await until(1);
  state.isRead = true;
  writer.add(line("second\n"));
  writer.hurry();
  await until(2);
  writer.add(line("third\n"));
  await until(3);
  state.isRead = false;
  state.limit = 10;
  writer.add(line("many more\n"));
  await until(4);
  await writer.finish();
  assert.equal(text(await read(reader())), "first\nsecond\nthird\nmany more\n");
});

test("a writer that says nothing more is not waited for once its attempt is over", async (t) => {
  const { write, reader } = await fixture(t);
  const writer = await write();
  writer.add(line("one\n"));
  await writer.flush();
  let isOver = false;
  const lines: string[] = [];
  for await (const batch of reader().tail({ attemptUri: uri, over: async () => isOver })) {
    lines.push(text(batch.lines));
    if (lines.length === 1) {
      writer.add(line("two\n"));
      await writer.flush();
    } else isOver = true;
  }
  assert.deepEqual(lines, ["one\n", "two\n"]);
  writer.close();
});

test("a reader may leave while it waits", async (t) => {
  const { write, reader } = await fixture(t);
  const writer = await write();
  writer.add(line("one\n"));
  await writer.flush();
  const stop = new AbortController();
  const lines = reader().tail({ attemptUri: uri, signal: stop.signal });
  assert.equal(text((await lines.next()).value?.lines ?? []), "one\n");
  const next = lines.next();
  stop.abort();
  assert.equal((await next).done, true);
  writer.close();
});

test("an object that is no part of a log is said to be none", async (t) => {
  const { objects, write, reader } = await fixture(t);
  await objects.put(partOf(uri, 0, 10, false).uri, Buffer.from("hello\n"));
  await assert.rejects(read(reader()), /no part of a log/);
  await assert.rejects(write(), /no part of a log/);
  await objects.put(partOf(uri, 0, 10, false).uri, Buffer.from("flyte-ts-log-part 1 \n"));
  await assert.rejects(read(reader()), /does not hold what its name says/);
});

test("an executor sees which logs are read, and marks that nobody renews do not count", async (t) => {
  const { objects } = await fixture(t);
  const readers: LogReaders = logReaders({ objectStore: objects, log: silentLog });
  const stop = new AbortController();
  const arrived = Promise.withResolvers<void>();
  const running = readers.run({ anybody: () => true, arrived: () => arrived.resolve() }, stop.signal);
  assert.equal(readers.isRead(uri), false);
  await markRead(objects, uri);
  await arrived.promise;
  assert.equal(readers.isRead(uri), true);
  assert.equal(readers.isRead(`${uri}0`), false);
  stop.abort();
  await running;
});
