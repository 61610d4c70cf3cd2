import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { create, type DescMessage, fromBinary, ScalarType } from "@bufbuild/protobuf";
import { TypedInterfaceSchema } from "@flyte-ts/contract/flyteidl2/core/interface_pb.ts";
import { InputsSchema, OutputsSchema } from "@flyte-ts/contract/flyteidl2/task/common_pb.ts";
import { TaskSpecSchema } from "@flyte-ts/contract/flyteidl2/task/task_definition_pb.ts";
import { canonicalMsgpack } from "./canonical-msgpack.ts";
import { deterministicBinary } from "./deterministic-binary.ts";
import { cacheKey, inputsHash, NO_INPUTS_HASH } from "./inputs-hash.ts";

interface Vectors {
  inputs: {
    name: string;
    inputs: string;
    interface: string;
    ignored: string[];
    hash: string;
    version: string;
    cacheKey: string;
  }[];
  msgpack: { bytes: string; canonical: string }[];
}

const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));
const committed = readFileSync(here("testdata/inputs-hash-vectors.json"), "utf8");
const vectors = JSON.parse(committed) as Vectors;
const bytes = (base64: string) => Buffer.from(base64, "base64");

for (const vector of vectors.inputs) {
  test(`as the Python SDK hashes it: ${vector.name}`, () => {
    const inputs = fromBinary(InputsSchema, bytes(vector.inputs));
    const hash = inputsHash(inputs, vector.ignored);
    assert.equal(hash, vector.hash || NO_INPUTS_HASH);
    const key = {
      inputsHash: hash,
      taskName: "env.task",
      interface: fromBinary(TypedInterfaceSchema, bytes(vector.interface)),
      cacheVersion: vector.version,
    };
    assert.equal(cacheKey(key), vector.cacheKey);
    assert.equal(cacheKey({ ...key, inputsHash: vector.hash }), vector.cacheKey, "the SDK's own spelling of no inputs");
    assert.equal(
      Buffer.from(deterministicBinary(InputsSchema, inputs)).toString("base64"),
      vector.inputs,
      "the same bytes as SerializeToString(deterministic=True)",
    );
  });
}

test("msgpack gets the canonical form that the Python SDK gives it", () => {
  for (const { bytes: input, canonical } of vectors.msgpack) {
    assert.equal(Buffer.from(canonicalMsgpack(bytes(input))).toString("base64"), canonical, input);
    assert.equal(Buffer.from(canonicalMsgpack(bytes(canonical))).toString("base64"), canonical, `${input} again`);
  }
});

test("hostile msgpack is left alone", () => {
  const deep = Buffer.concat([Buffer.alloc(100_000, 0x91), Buffer.of(0xc0)]);
  assert.equal(canonicalMsgpack(deep), deep);
  const huge = Buffer.of(0xdd, 0xff, 0xff, 0xff, 0xff);
  assert.equal(canonicalMsgpack(huge), huge);
});

test("without inputs the hash is never empty, as the contract demands", () => {
  assert.equal(inputsHash(undefined, []), NO_INPUTS_HASH);
  assert.equal(inputsHash(create(InputsSchema, { literals: [{ name: "x" }] }), ["x"]), NO_INPUTS_HASH);
});

test("no interface counts like an empty one", () => {
  const parts = { inputsHash: "h", taskName: "t", cacheVersion: "" };
  assert.equal(
    cacheKey({ ...parts, interface: undefined }),
    cacheKey({ ...parts, interface: create(TypedInterfaceSchema) }),
  );
});

test("all maps that are hashed have string keys, which is all that the encoder sorts", () => {
  const seen = new Set<DescMessage>();
  const check = (message: DescMessage) => {
    if (seen.has(message)) return;
    seen.add(message);
    for (const field of message.fields) {
      if (field.fieldKind === "map") assert.equal(field.mapKey, ScalarType.STRING, `${field}`);
      if (field.message) check(field.message);
    }
  };
  for (const desc of [InputsSchema, OutputsSchema, TaskSpecSchema]) check(desc);
});

const venv = here("../.venv/bin/python");
const python = process.env.FLYTE_TS_PYTHON ?? venv;
const missing = !existsSync(python) && !process.env.CI;
test("the committed vectors are what the installed Python SDK computes", {
  skip: missing ? `${python} does not exist: the vectors were not compared with a live SDK` : false,
}, () => {
  const fresh = execFileSync(python, [here("testdata/inputs-hash-vectors.py")], {
    env: { ...process.env, DO_NOT_TRACK: "1" },
    encoding: "utf8",
    maxBuffer: 16 * 1024 * 1024,
  });
  assert.deepEqual(JSON.parse(fresh), vectors);
});
