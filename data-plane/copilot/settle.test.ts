/** Files as outputs: every type, what is missing or malformed, what a task says itself, and links that lead out. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdir, symlink, truncate, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { type TestContext, test } from "node:test";
import { fromBinary } from "@bufbuild/protobuf";
import {
  ContainerError_Kind,
  ErrorDocumentSchema,
  ExecutionError_ErrorKind,
} from "@flyte-ts/contract/flyteidl2/core/execution_pb.ts";
import type { Literal } from "@flyte-ts/contract/flyteidl2/core/literals_pb.ts";
import { type LiteralType, SimpleType } from "@flyte-ts/contract/flyteidl2/core/types_pb.ts";
import { OutputsSchema } from "@flyte-ts/contract/flyteidl2/task/common_pb.ts";
import { type ObjectStore, StoreUnavailableError } from "@flyte-ts/platform/object-store";
import { settle } from "./settle.ts";
import { choice, FILE, FOLDER, listOf, optional, outputsOf, room, simple } from "./testing/values.ts";

const { INTEGER, STRING, FLOAT, BOOLEAN, STRUCT, BINARY, NONE } = SimpleType;
const attemptUri = "s3://flyte-data/r/a0/1";
const rawDataPrefix = "s3://flyte-data/raw/a0/1";

interface Ended {
  files?: Record<string, string>;
  links?: Record<string, string>;
  exitCode?: number;
  store?: Pick<ObjectStore, "put">;
}

async function ended(t: TestContext, types: Record<string, LiteralType>, parts: Ended) {
  const { path, store } = await room(t);
  const folder = join(path, "outputs");
  await mkdir(folder);
  for (const [name, content] of Object.entries(parts.files ?? {})) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), content);
  }
  for (const [name, target] of Object.entries(parts.links ?? {})) await symlink(target, join(folder, name));
  const run = (through: Pick<ObjectStore, "put"> = store, ms = 60_000) =>
    settle({
      store: through,
      folder,
      outputs: outputsOf(types),
      exitCode: parts.exitCode ?? 0,
      attemptUri,
      rawDataPrefix,
      patience: { ms },
    });
  return {
    store,
    folder,
    run,
    async error() {
      assert.equal(await run(), "error");
      assert.equal(await store.head(`${attemptUri}/outputs.pb`), undefined);
      const document = fromBinary(ErrorDocumentSchema, await store.get(`${attemptUri}/error.pb`)).error;
      assert.ok(document);
      return document;
    },
    async outputs(): Promise<Record<string, Literal | undefined>> {
      assert.equal(await run(), "outputs");
      const { literals } = fromBinary(OutputsSchema, await store.get(`${attemptUri}/outputs.pb`));
      return Object.fromEntries(literals.map(({ name, value }) => [name, value]));
    },
    text: async (uri: string) => Buffer.from(await store.get(uri)).toString(),
  };
}

/** The innermost value. */
function plain(literal: Literal | undefined): unknown {
  assert.ok(literal?.value.case === "scalar");
  const { case: kind, value } = literal.value.value.value;
  switch (kind) {
    case "primitive":
      return value.value.value;
    case "blob":
      return value.uri;
    case "binary":
      return Buffer.from(value.value).toString();
    case "union":
      return plain(value.value);
    case "noneType":
      return null;
    default:
      return value;
  }
}

test("files and folders of every type", async (t) => {
  const types = {
    sum: simple(INTEGER),
    word: simple(STRING),
    half: simple(FLOAT),
    yes: simple(BOOLEAN),
    record: simple(STRUCT),
    raw: simple(BINARY),
    nothing: simple(NONE),
    colour: choice("red", "blue"),
    given: optional(simple(INTEGER)),
    absent: optional(simple(INTEGER)),
    file: FILE,
    empty: FILE,
    dir: FOLDER,
    latest: FILE,
  };
  const one = await ended(t, types, {
    files: {
      sum: "3\n",
      word: " a ",
      half: ".5",
      yes: "true",
      record: '{"a":[1]}',
      raw: "bytes",
      colour: "blue\n",
      given: "7",
      file: "content",
      empty: "",
      "dir/a": "A",
      "dir/b/c": "C",
      "versions/2": "two",
    },
    links: { latest: "versions/2", "dir/link": "b" },
  });
  const outputs = await one.outputs();
  assert.deepEqual(Object.fromEntries(Object.entries(outputs).map(([name, value]) => [name, plain(value)])), {
    sum: 3n,
    word: " a ",
    half: 0.5,
    yes: true,
    record: { a: [1] },
    raw: "bytes",
    nothing: null,
    colour: "blue",
    given: 7n,
    absent: null,
    file: `${rawDataPrefix}/file`,
    empty: `${rawDataPrefix}/empty`,
    dir: `${rawDataPrefix}/dir`,
    latest: `${rawDataPrefix}/latest`,
  });
  const stored = (await one.store.list(`${rawDataPrefix}/`)).objects.map(({ uri }) => uri.slice(rawDataPrefix.length));
  assert.deepEqual(stored, ["/dir/a", "/dir/b/c", "/dir/link/c", "/empty", "/file", "/latest"]);
  assert.equal(await one.text(`${rawDataPrefix}/latest`), "two");
  const dir = outputs.dir?.value;
  assert.ok(dir?.case === "scalar" && dir.value.value.case === "blob");
  assert.equal(dir.value.value.value.metadata?.type?.dimensionality, 1);
});

test("what is missing or malformed is the user's error, with the output's name", async (t) => {
  type Row = [types: Record<string, LiteralType>, files: Record<string, string>, code: string, message: RegExp];
  const rows: Row[] = [
    [{ x: simple(INTEGER) }, {}, "OutputsMissing", /no file for its output `x`/],
    [{ x: FOLDER }, {}, "OutputsMissing", /no folder for its output `x`/],
    [{ x: simple(INTEGER) }, { x: "many" }, "OutputInvalid", /`x` cannot be read as the type/],
    [{ x: simple(STRUCT) }, { x: "[1]" }, "OutputInvalid", /`x` is no JSON object/],
    [{ x: simple(STRING) }, { "x/y": "" }, "OutputInvalid", /`x` is a folder, and the task declares a value/],
    [{ x: FILE }, { "x/y": "" }, "OutputInvalid", /`x` is a folder, and the task declares a file/],
    [{ x: FOLDER }, { x: "" }, "OutputInvalid", /`x` is a file, and the task declares a folder/],
    [{ x: choice("red", "blue") }, { x: "green" }, "OutputInvalid", /`x` is none of red, blue/],
    [{ x: optional(simple(INTEGER)) }, { x: "many" }, "OutputInvalid", /`x` cannot be read/],
    [{ x: listOf(FILE) }, { "x/0": "" }, "BadTaskSpecification", /`x` has a type that cannot be made from a file/],
    [{ "a/b": FILE }, {}, "BadTaskSpecification", /`a\/b` cannot be the name of a file/],
  ];
  for (const [types, files, code, message] of rows) {
    const error = await (await ended(t, types, { files })).error();
    assert.deepEqual([error.code, error.origin], [code, ExecutionError_ErrorKind.USER]);
    assert.match(error.message, message);
  }
  const large = await ended(t, { x: simple(STRING) }, { files: { x: "" } });
  await truncate(join(large.folder, "x"), (1 << 20) + 1);
  const error = await large.error();
  assert.deepEqual([error.code, error.kind], ["OutputTooLarge", ContainerError_Kind.RECOVERABLE]);
  assert.match(error.message, /1048577 bytes.*declare it as a file/);
});

test("a task that fails may say why; one that fails stores nothing else", async (t) => {
  const types = { x: simple(INTEGER) };
  for (const exitCode of [0, 3]) {
    const error = await (await ended(t, types, { files: { _ERROR: "no luck\n", x: "1" }, exitCode })).error();
    assert.deepEqual([error.code, error.message], ["TaskReportedError", "no luck"]);
    assert.deepEqual([error.kind, error.origin], [ContainerError_Kind.RECOVERABLE, ExecutionError_ErrorKind.USER]);
  }
  const silent = await ended(t, types, { files: { x: "1" }, exitCode: 3 });
  assert.equal(await silent.run(), "nothing");
  assert.deepEqual((await silent.store.list("s3://flyte-data/")).objects, []);

  const endless = await ended(t, types, { files: { _ERROR: `${"x".repeat(1 << 20)}tail` } });
  const { message } = await endless.error();
  assert.ok(message.length < (1 << 20) + 100 && message.endsWith("… (4 bytes more)"));
  assert.match((await (await ended(t, types, { files: { "_ERROR/x": "" } })).error()).message, /no file/);
  assert.match((await (await ended(t, types, { files: { _ERROR: "" } })).error()).message, /an empty _ERROR/);
});

test("links that lead out, and what is no file, give nothing away", async (t) => {
  const outside = { x: "/proc/self/environ" };
  for (const [types, links] of [
    [{ x: simple(STRING) }, outside],
    [{ x: FILE }, outside],
    [{ x: FOLDER }, { x: "/etc" }],
    [{ x: FILE }, { x: ".." }],
    [{ x: FILE }, { x: "x" }],
    [{ x: FILE }, { _ERROR: "/proc/self/environ" }],
  ] as const) {
    const one = await ended(t, types, { links });
    assert.match((await one.error()).message, /leads out of the folder|link to itself|no file that can be read/);
    assert.deepEqual((await one.store.list(rawDataPrefix)).objects, []);
  }
  for (const [links, message] of [
    [{ "d/out": "/etc/passwd" }, /`out` in its output `x` cannot be taken: it is a link that leads out/],
    [{ "d/loop": "." }, /`loop` in its output `x` is a link to a folder that holds it/],
    [{ "d/gone": "nowhere" }, /`gone` in its output `x` is a link that leads nowhere/],
  ] as const) {
    const one = await ended(t, { x: FOLDER }, { files: { "d/a": "A" }, links: { ...links, x: "d" } });
    assert.match((await one.error()).message, message);
  }
  const odd = await ended(t, { x: FILE }, {});
  const socket = createServer().listen(join(odd.folder, "x"));
  await once(socket, "listening");
  t.after(() => socket.close());
  assert.match((await odd.error()).message, /`x` cannot be taken: it is no ordinary file/);
});

test("outputs.pb comes last, and waits for a store that is away", async (t) => {
  const one = await ended(t, { x: FILE, y: simple(INTEGER) }, { files: { x: "content", y: "1" } });
  const order: string[] = [];
  let away = 3;
  const flaky: Pick<ObjectStore, "put"> = {
    async put(uri, body) {
      away -= 1;
      if (away > 0) throw new StoreUnavailableError(uri, "away");
      order.push(uri);
      return one.store.put(uri, body);
    },
  };
  assert.equal(await one.run(flaky), "outputs");
  assert.deepEqual(order, [`${rawDataPrefix}/x`, `${attemptUri}/outputs.pb`]);
  const never = { put: (uri: string) => Promise.reject(new StoreUnavailableError(uri, "away")) };
  await assert.rejects(one.run(never, 300), StoreUnavailableError);
});
