import assert from "node:assert/strict";
import { appendFile, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import test from "node:test";
import { temporaryFolder } from "../testing/support.ts";
import { openServerLog, readFrom, rotateIfFull } from "./server-log.ts";

test("a full log moves aside and the writer goes on at the start", async (t) => {
  const file = join(await temporaryFolder(t), "postgres.log");
  const writer = await openServerLog(file);
  await writer.appendFile("first\n");
  assert.equal(await rotateIfFull(file, 100), false);
  assert.equal(await rotateIfFull(file, 6), true);
  await writer.appendFile("second\n");
  await writer.close();
  assert.equal(await readFile(`${file}.1`, "utf8"), "first\n");
  assert.equal(await readFile(file, "utf8"), "second\n");
  assert.equal((await stat(file)).mode & 0o777, 0o600);
});

test("reads what was written since, at most the end of it", async (t) => {
  const file = join(await temporaryFolder(t), "postgres.log");
  assert.equal(await readFrom(file, 0), "");
  await appendFile(file, "0123456789");
  assert.equal(await readFrom(file, 4), "456789");
  assert.equal(await readFrom(file, 0, 3), "789");
  assert.equal(await readFrom(file, 99), "");
});
