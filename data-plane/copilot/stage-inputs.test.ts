/** Inputs as files: every kind of value, every layout, what cannot be one, and a store that breaks off. */
import assert from "node:assert/strict";
import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { create, fromBinary } from "@bufbuild/protobuf";
import { LiteralSchema } from "@flyte-ts/contract/flyteidl2/core/literals_pb.ts";
import {
  DataLoadingConfig_LiteralMapFormat as Format,
  DataLoadingConfig_FileInputLayout as Layout,
} from "@flyte-ts/contract/flyteidl2/core/tasks_pb.ts";
import { InputsSchema } from "@flyte-ts/contract/flyteidl2/task/common_pb.ts";
import { type ObjectStore, StoreUnavailableError } from "@flyte-ts/platform/object-store";
import { parse } from "yaml";
import { stageInputs } from "./stage-inputs.ts";
import { StagingError } from "./staging-error.ts";
import { blob, inputsOf, integer, list, primitive, room, scalar, text } from "./testing/values.ts";

const DIRECT = { format: Format.JSON, fileInputLayout: Layout.DIRECT };
const NAMED = { format: Format.PROTO, fileInputLayout: Layout.NAMED_DIR };

async function filesOf(folder: string): Promise<Record<string, string>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const contents = await Promise.all(files.map((file) => readFile(file, "utf8")));
  return Object.fromEntries(files.map((file, index) => [file.slice(folder.length + 1), contents[index] ?? ""]));
}

test("every value is a file, and all of them are told together", async (t) => {
  const { path, store } = await room(t);
  await store.put("s3://flyte-data/x/f.txt", Buffer.from("file"));
  await store.put("s3://flyte-data/dir/a", Buffer.from("A"));
  await store.put("s3://flyte-data/dir/b/c.txt", Buffer.from("C"));
  await store.put("s3://flyte-data/dir/empty/", new Uint8Array());
  await store.put("s3://flyte-data/directory", Buffer.from("not of dir"));
  await store.put("s3://flyte-data/table.parquet", Buffer.from("rows"));
  const folder = join(path, "inputs");
  const inputs = inputsOf({
    text: text("many\nlines "),
    big: integer(9007199254740993n),
    half: primitive({ case: "floatValue", value: 0.5 }),
    yes: primitive({ case: "boolean", value: true }),
    when: primitive({ case: "datetime", value: { $typeName: "google.protobuf.Timestamp", seconds: 0n, nanos: 0 } }),
    long: primitive({ case: "duration", value: { $typeName: "google.protobuf.Duration", seconds: 90n, nanos: 0 } }),
    none: scalar({ case: "noneType", value: {} }),
    raw: scalar({ case: "binary", value: { value: Buffer.from("bytes") } }),
    record: scalar({ case: "generic", value: { a: [1, "b"] } }),
    maybe: scalar({ case: "union", value: { value: integer(3n) } }),
    file: blob("s3://flyte-data/x/f.txt"),
    dir: blob("s3://flyte-data/dir", true),
    table: scalar({ case: "structuredDataset", value: { uri: "s3://flyte-data/table.parquet" } }),
    files: list(blob("s3://flyte-data/x/f.txt"), blob("s3://flyte-data/dir/a")),
    pairs: create(LiteralSchema, { value: { case: "map", value: { literals: { k: integer(1n) } } } }),
  });
  await stageInputs({ store, inputs, config: DIRECT, folder, seenAs: "/var/inputs" });

  const { "inputs.pb": document, "inputs.json": json, ...files } = await filesOf(folder);
  assert.ok(document);
  assert.deepEqual(files, {
    text: "many\nlines ",
    big: "9007199254740993",
    half: "0.5",
    yes: "true",
    when: "1970-01-01T00:00:00.000Z",
    long: "1m30s",
    none: "null",
    raw: "bytes",
    record: '{"a":[1,"b"]}',
    maybe: "3",
    file: "file",
    "dir/a": "A",
    "dir/b/c.txt": "C",
    table: "rows",
    "files/0": "file",
    "files/1": "A",
    "pairs/k": "1",
  });
  assert.deepEqual(await readdir(join(folder, "dir/empty")), []);
  assert.match(json ?? "", /"big":9007199254740993,/, "64 bits, not 53");
  assert.deepEqual(JSON.parse(json ?? ""), {
    text: "many\nlines ",
    big: 9007199254740992,
    half: 0.5,
    yes: true,
    when: "1970-01-01T00:00:00.000Z",
    long: "1m30s",
    none: null,
    raw: "Ynl0ZXM=",
    record: { a: [1, "b"] },
    maybe: 3,
    file: "/var/inputs/file",
    dir: "/var/inputs/dir",
    table: "/var/inputs/table",
    files: ["/var/inputs/files/0", "/var/inputs/files/1"],
    pairs: { k: 1 },
  });
  const told = fromBinary(InputsSchema, await readFile(join(folder, "inputs.pb")));
  const file = told.literals.find(({ name }) => name === "file")?.value?.value;
  assert.ok(file?.case === "scalar" && file.value.value.case === "blob");
  assert.equal(file.value.value.value.uri, "/var/inputs/file");
});

test("files keep their names where that is asked for, and YAML is YAML", async (t) => {
  const { path, store } = await room(t);
  for (const uri of ["a/reads.fq", "b/reads.fq", "c.txt"]) await store.put(`s3://flyte-data/${uri}`, Buffer.from(uri));
  const inputs = inputsOf({
    one: blob("s3://flyte-data/a/reads.fq"),
    all: list(...["a/reads.fq", "b/reads.fq", "c.txt"].map((uri) => blob(`s3://flyte-data/${uri}`))),
    mixed: list(blob("s3://flyte-data/c.txt"), integer(1n)),
  });
  const folder = join(path, "named");
  await stageInputs({ store, inputs, config: NAMED, folder });
  const { "inputs.pb": _, ...files } = await filesOf(folder);
  assert.deepEqual(files, {
    "one/reads.fq": "a/reads.fq",
    "all/reads.fq": "a/reads.fq",
    "all/1_reads.fq": "b/reads.fq",
    "all/c.txt": "c.txt",
    "mixed/0": "c.txt",
    "mixed/1": "1",
  });
  const yaml = join(path, "yaml");
  await stageInputs({ store, inputs, config: { ...DIRECT, format: Format.YAML }, folder: yaml });
  const told = parse(await readFile(join(yaml, "inputs.yaml"), "utf8"));
  assert.deepEqual([told.one, told.mixed], [join(yaml, "one"), [join(yaml, "mixed/0"), 1]]);
});

test("what cannot be a file is said with its name, and who is to blame", async (t) => {
  const { path, store } = await room(t);
  await store.put("s3://flyte-data/odd/a", Buffer.from("a"));
  await store.put("s3://flyte-data/odd/a/b", Buffer.from("b"));
  const rows = [
    [{ f: blob("s3://flyte-data/gone") }, "InputNotFound", /the input `f` is gone: .*s3:\/\/flyte-data\/gone/],
    [{ f: blob("s3://elsewhere/x") }, "BadTaskSpecification", /the input `f` cannot be stored or read/],
    [{ f: blob("http://example.org/x") }, "BadTaskSpecification", /the input `f` .*must begin with s3/],
    [{ f: create(LiteralSchema, {}) }, "BadTaskSpecification", /the input `f` cannot be given to a container/],
    [{ "../f": text("x") }, "BadTaskSpecification", /`\.\.\/f` cannot be the name of a file/],
    [{ "..": text("x") }, "BadTaskSpecification", /`\.\.` cannot be the name of a file/],
    [{ f: blob("s3://flyte-data/odd", true) }, "BadTaskSpecification", /the input `f` cannot be laid out as files/],
  ] as const;
  for (const [index, [values, code, message]] of rows.entries()) {
    const folder = join(path, `bad-${index}`);
    await assert.rejects(stageInputs({ store, inputs: inputsOf(values), config: DIRECT, folder }), (error) => {
      assert.ok(error instanceof StagingError, String(error));
      assert.deepEqual([error.code, error.kind, error.recoverable], [code, "user", false]);
      assert.match(error.message, message);
      return true;
    });
  }
});

test("a download goes on where it broke off, and starts again when the object is another one", async (t) => {
  const { path, store } = await room(t);
  const content = Buffer.alloc(300_000, "0123456789");
  await store.put("s3://flyte-data/f", content);
  const asked: (number | undefined)[] = [];
  /** Breaks off after the first chunk, twice; the second time the object changes. */
  const breaking: Pick<ObjectStore, "stream" | "list"> = {
    list: store.list,
    async stream(uri, range) {
      asked.push(range?.start);
      const whole = await store.stream(uri, range);
      const tries = asked.length;
      async function* body() {
        for await (const chunk of whole.body) {
          yield chunk.subarray(0, 1000);
          if (tries === 2) await store.put(uri, Buffer.from("another"));
          if (tries <= 2) throw new StoreUnavailableError(uri, "it went away");
          yield chunk.subarray(1000);
        }
      }
      return { ...whole, body: body(), close: () => whole.close() };
    },
  };
  const heard: string[] = [];
  const folder = join(path, "inputs");
  await mkdir(folder);
  const patience = { ms: 60_000, onTrouble: (error: Error) => heard.push(error.message) };
  await stageInputs({
    store: breaking,
    inputs: inputsOf({ f: blob("s3://flyte-data/f") }),
    config: DIRECT,
    folder,
    patience,
  });
  assert.deepEqual(asked, [undefined, 1000, 2000, undefined]);
  assert.equal(heard.length, 2);
  assert.equal(await readFile(join(folder, "f"), "utf8"), "another");
  await assert.rejects(
    stageInputs({
      store: { ...breaking, stream: () => Promise.reject(new StoreUnavailableError("s3://x", "away")) },
      inputs: inputsOf({ f: blob("s3://flyte-data/f") }),
      config: DIRECT,
      folder,
      patience: { ms: 300 },
    }),
    StoreUnavailableError,
    "patience ends",
  );
});
