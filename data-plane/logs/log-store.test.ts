/** Following, keeping and reading logs, on real files and a real file store. */
import assert from "node:assert/strict";
import { appendFile, mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { systemClock } from "@flyte-ts/core";
import { openFileStore, type PutResult, StoreFullError } from "@flyte-ts/platform/object-store";
import { silentLog } from "../executor/log.ts";
import { type LogLine, LogNotFoundError, logStore } from "./index.ts";

const uri = "s3://flyte-data/p/d/r/a0/1";

async function fixture(t: TestContext) {
  const folder = await mkdtemp(join(tmpdir(), "flyte-ts-logs-"));
  const objects = await openFileStore({ folder: join(folder, "objects"), root: "s3://flyte-data", sync: "none" });
  const state = { full: false, attempts: 0 };
  const objectStore = {
    root: objects.root,
    stream: objects.stream,
    list: objects.list,
    async put(...args: Parameters<typeof objects.put>): Promise<PutResult> {
      state.attempts += 1;
      if (state.full) throw new StoreFullError(args[0], folder);
      return objects.put(...args);
    },
  };
  const stop = new AbortController();
  const open = () => {
    const logs = logStore({ objectStore, clock: systemClock, log: silentLog, maxLines: 10 });
    return { logs, running: logs.run(stop.signal) };
  };
  const { logs, running } = open();
  t.after(async () => {
    stop.abort();
    await running;
    await objects.close();
    await rm(folder, { recursive: true, force: true });
  });
  const file = join(folder, "log");
  await writeFile(file, "");
  return { logs, open, file, state };
}

type Fixture = Awaited<ReturnType<typeof fixture>>;

/** Reads to the end; `onLine` sees each line as it comes. */
async function read(logs: Fixture["logs"], onLine?: (line: LogLine) => void): Promise<LogLine[]> {
  const lines: LogLine[] = [];
  for await (const batch of logs.tail({ attemptUri: uri })) {
    assert.ok(batch.lines.length > 0 && batch.lines.length <= 10);
    for (const line of batch.lines) {
      lines.push(line);
      onLine?.(line);
    }
  }
  return lines;
}

const text = (lines: LogLine[]) => lines.map((line) => line.message).join("");

test("many readers follow a live log from its beginning, without gaps or repeats, to its end", async (t) => {
  const { logs, file } = await fixture(t);
  await logs.follow(uri, file);
  await assert.rejects(read(logs), LogNotFoundError);
  let written = "";
  const write = async (part: string) => {
    written += part;
    await appendFile(file, part);
  };
  await write("first\n");
  // The file is noticed by itself.
  for (;;) {
    try {
      for await (const _ of logs.tail({ attemptUri: uri })) break;
      break;
    } catch (error) {
      assert.ok(error instanceof LogNotFoundError);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
  const readers = Array.from({ length: 5 }, () => read(logs));
  // Each line is seen before the next one is written: reading is live.
  let saw = () => {};
  const pacer = read(logs, (line) => line.message.endsWith("\n") && saw());
  for (let index = 0; index < 30; index += 1) {
    const seen = new Promise<void>((resolve) => (saw = resolve));
    await write(`line ${index} ${"é".repeat(index)}\n`);
    await seen;
  }
  await write("no newline at the end");
  let stored = 0;
  await logs.finish(uri, () => {
    stored += 1;
  });
  for (const lines of await Promise.all([...readers, pacer])) assert.equal(text(lines), written);
  assert.equal(stored, 1);
  await rm(file);
  const later = await read(logs);
  assert.equal(text(later), written);
  const times = later.map((line) => line.timestamp.getTime());
  assert.deepEqual(
    times,
    [...times].sort((a, b) => a - b),
  );
  assert.ok(Date.now() - (times[0] ?? 0) < 60_000);
});

test("a reader may leave at any time", async (t) => {
  const { logs, file } = await fixture(t);
  await writeFile(file, "one\ntwo\n");
  await logs.follow(uri, file);
  const stop = new AbortController();
  const seen: string[] = [];
  for await (const batch of logs.tail({ attemptUri: uri, signal: stop.signal })) {
    seen.push(text(batch.lines));
    stop.abort();
  }
  assert.deepEqual(seen, ["one\ntwo\n"]);
  await logs.finish(uri, () => {});
});

test("after a restart times are kept and what arrived meanwhile is stamped by the file", async (t) => {
  const { logs, open, file } = await fixture(t);
  await writeFile(file, "early\n");
  await logs.follow(uri, file);
  const before = (await read2(logs))[0]?.timestamp;
  await appendFile(file, "while away\n");
  const { mtimeMs } = await stat(file);
  const second = open().logs;
  await second.follow(uri, file);
  await second.finish(uri, () => {});
  const lines = await read(second);
  assert.deepEqual(
    lines.map((line) => line.message),
    ["early\n", "while away\n"],
  );
  assert.deepEqual(lines[0]?.timestamp, before);
  assert.ok(Math.abs((lines[1]?.timestamp.getTime() ?? 0) - mtimeMs) < 1000);

  async function read2(store: Fixture["logs"]): Promise<LogLine[]> {
    for await (const batch of store.tail({ attemptUri: uri })) return batch.lines;
    return [];
  }
});

test("a full store: the log stays readable from its file and is stored once there is room", async (t) => {
  const { logs, file, state } = await fixture(t);
  await writeFile(file, "precious\n");
  await logs.follow(uri, file);
  state.full = true;
  let storedNow = () => {};
  const stored = new Promise<void>((resolve) => (storedNow = resolve));
  await logs.finish(uri, storedNow);
  assert.equal(text(await read(logs)), "precious\n");
  state.full = false;
  await stored;
  assert.ok(state.attempts >= 2);
  await rm(file);
  assert.equal(text(await read(logs)), "precious\n");
});

test("a large log is stored behind the end of its attempt and read in small batches", async (t) => {
  const { logs, file } = await fixture(t);
  const line = `${"x".repeat(99)}\n`;
  await writeFile(file, line.repeat(20_000));
  await logs.follow(uri, file);
  let storedNow = () => {};
  const stored = new Promise<void>((resolve) => (storedNow = resolve));
  await logs.finish(uri, storedNow);
  assert.equal((await read(logs)).length, 20_000);
  await stored;
  assert.equal((await read(logs)).length, 20_000);
});

test("an attempt that wrote nothing has an empty log once it ended, one that never was has none", async (t) => {
  const { logs, file } = await fixture(t);
  await logs.follow(uri, file);
  await assert.rejects(read(logs), LogNotFoundError);
  await logs.finish(uri, () => {});
  assert.deepEqual(await read(logs), []);
  await assert.rejects(async () => {
    for await (const _ of logs.tail({ attemptUri: "s3://flyte-data/p/d/r/never/1" }));
  }, LogNotFoundError);
  await assert.rejects(logs.follow("s3://flyte-data/p/d/r/x/1", `${file}.absent`), /ENOENT/);
});
