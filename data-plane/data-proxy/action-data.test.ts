import assert from "node:assert/strict";
import { test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { LiteralSchema } from "@flyte-ts/contract/flyteidl2/core/literals_pb.ts";
import { InputsSchema, OutputsSchema } from "@flyte-ts/contract/flyteidl2/task/common_pb.ts";
import { actionId, actionRecord, dataProxyFixture, wireError } from "./testing/fixture.ts";

const value = create(LiteralSchema, {
  value: {
    case: "scalar",
    value: { value: { case: "primitive", value: { value: { case: "boolean", value: true } } } },
  },
});
const inputs = create(InputsSchema, { literals: [{ name: "x", value }] });
const outputs = create(OutputsSchema, { literals: [{ name: "o0", value }] });

test("a task's inputs and outputs, from folders", async (t) => {
  const { client, objects, actions } = await dataProxyFixture(t, { validate: true });
  await objects.put("s3://flyte-data/in/inputs.pb", toBinary(InputsSchema, inputs));
  await objects.put("s3://flyte-data/out/1/outputs.pb", toBinary(OutputsSchema, outputs));
  const inputsUri = "s3://flyte-data/in";
  actions.set("a0", actionRecord({ inputsUri, outputsUri: "s3://flyte-data/out/1/", terminal: true }));
  const data = await client.getActionData({ actionId: actionId("a0") });
  assert.deepEqual(data.inputs, inputs);
  assert.deepEqual(data.outputs, outputs);
  assert.equal(data.inputsUri, "s3://flyte-data/in/inputs.pb");
  assert.equal(data.outputsUri, "s3://flyte-data/out/1/outputs.pb");
});

test("a trace's, from full paths", async (t) => {
  const { client, objects, actions } = await dataProxyFixture(t);
  await objects.put("s3://flyte-data/trace/in.pb", toBinary(InputsSchema, inputs));
  await objects.put("s3://flyte-data/trace/out.pb", toBinary(OutputsSchema, outputs));
  const uris = { inputsUri: "s3://flyte-data/trace/in.pb", outputsUri: "s3://flyte-data/trace/out.pb" };
  actions.set("t1", actionRecord({ kind: "trace", ...uris }));
  const data = await client.getActionData({ actionId: actionId("t1") });
  assert.deepEqual([data.inputs, data.outputs], [inputs, outputs]);
});

test("what is not there reads as empty, and both messages are always set", async (t) => {
  const { client, actions } = await dataProxyFixture(t);
  const gone = { inputsUri: "s3://flyte-data/gone", outputsUri: "s3://flyte-data/gone" };
  actions.set("a0", actionRecord());
  actions.set("a1", actionRecord(gone));
  for (const name of ["a0", "a1"]) {
    const data = await client.getActionData({ actionId: actionId(name) });
    assert.deepEqual([data.inputs, data.outputs], [create(InputsSchema), create(OutputsSchema)]);
  }
});

test("a condition's output is what it was signalled with", async (t) => {
  const { client, actions } = await dataProxyFixture(t);
  actions.set("c0", actionRecord({ kind: "condition" }));
  actions.set("c1", actionRecord({ kind: "condition", value, terminal: true }));
  assert.deepEqual((await client.getActionData({ actionId: actionId("c0") })).outputs, create(OutputsSchema));
  assert.deepEqual((await client.getActionData({ actionId: actionId("c1") })).outputs, outputs);
});

test("more than one answer may carry is refused in clear words, alone and together", async (t) => {
  const { client, objects, actions } = await dataProxyFixture(t, { limits: { maxActionDataBytes: 20 } });
  await objects.put("s3://flyte-data/big/inputs.pb", Buffer.alloc(21));
  const half = toBinary(InputsSchema, create(InputsSchema, { literals: [{ name: "123456789" }] }));
  await objects.put("s3://flyte-data/half/inputs.pb", half);
  await objects.put("s3://flyte-data/half/outputs.pb", half);
  actions.set("a0", actionRecord({ inputsUri: "s3://flyte-data/big" }));
  actions.set("a1", actionRecord({ inputsUri: "s3://flyte-data/half", outputsUri: "s3://flyte-data/half" }));
  actions.set("a2", actionRecord({ inputsUri: "s3://flyte-data/half" }));
  const get = (name: string) => client.getActionData({ actionId: actionId(name) });
  await assert.rejects(get("a0"), wireError(Code.ResourceExhausted, /big\/inputs\.pb has 21 bytes, more than the 20/));
  await assert.rejects(get("a1"), wireError(Code.ResourceExhausted, /together has 26 bytes/));
  assert.equal((await get("a2")).inputs?.literals[0]?.name, "123456789");
});

test("what cannot be read is an error that names it", async (t) => {
  const { client, objects, actions } = await dataProxyFixture(t);
  await objects.put("s3://flyte-data/junk/outputs.pb", Buffer.from([0xff, 0xff, 0xff]));
  actions.set("a0", actionRecord({ outputsUri: "s3://flyte-data/junk" }));
  actions.set("a1", actionRecord({ inputsUri: "s3://other/bucket" }));
  actions.set("a2", actionRecord({ inputsUri: "s3://flyte-data/../../etc/passwd.pb" }));
  const get = (name: string) => client.getActionData({ actionId: actionId(name) });
  await assert.rejects(
    get("a0"),
    wireError(Code.FailedPrecondition, /junk\/outputs\.pb does not hold a flyteidl2\.task\.Outputs/),
  );
  await assert.rejects(get("a1"), wireError(Code.FailedPrecondition, /s3:\/\/other/));
  await assert.rejects(get("a2"), wireError(Code.FailedPrecondition));
  await assert.rejects(get("none"), wireError(Code.NotFound, /none/));
  await assert.rejects(client.getActionData({}), wireError(Code.InvalidArgument, /action_id/));
});
