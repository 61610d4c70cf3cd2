import assert from "node:assert/strict";
import { test } from "node:test";
import { create, fromBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { type Literal, LiteralSchema } from "@flyte-ts/contract/flyteidl2/core/literals_pb.ts";
import type { UploadInputsRequestSchema } from "@flyte-ts/contract/flyteidl2/dataproxy/dataproxy_service_pb.ts";
import { InputsSchema } from "@flyte-ts/contract/flyteidl2/task/common_pb.ts";
import { TaskSpecSchema } from "@flyte-ts/contract/flyteidl2/task/task_definition_pb.ts";
import { inputsHash, inputsObjectUri, NO_INPUTS_HASH } from "@flyte-ts/core";
import type { ObjectStore } from "@flyte-ts/platform/object-store";
import { dataProxyFixture, type Fixture, wireError } from "./testing/fixture.ts";

type Request = MessageInitShape<typeof UploadInputsRequestSchema>;

const integer = (value: bigint): Literal =>
  create(LiteralSchema, {
    value: { case: "scalar", value: { value: { case: "primitive", value: { value: { case: "integer", value } } } } },
  });
const projectId = { case: "projectId", value: { name: "p", domain: "development" } } as const;
const spec = create(TaskSpecSchema, {
  taskTemplate: {
    metadata: { cacheIgnoreInputVars: ["verbose"] },
    interface: { inputs: { variables: ["c", "a", "verbose"].map((key) => ({ key })) } },
  },
  defaultInputs: [
    { name: "a", parameter: { behavior: { case: "default", value: integer(5n) } } },
    { name: "verbose", parameter: { behavior: { case: "required", value: true } } },
  ],
});
const byspec = { case: "taskSpec", value: spec } as const;

async function upload({ client }: Fixture, request: Request) {
  const { offloadedInputData } = await client.uploadInputs(request);
  assert.ok(offloadedInputData);
  return offloadedInputData;
}

async function stored(objects: ObjectStore, folder: string) {
  return fromBinary(InputsSchema, await objects.get(inputsObjectUri(folder)));
}

test("inputs are stored with the task's defaults, in the order of its interface", async (t) => {
  const fixture = await dataProxyFixture(t);
  const inputs = create(InputsSchema, {
    literals: [
      { name: "extra", value: integer(9n) },
      { name: "c", value: integer(1n) },
    ],
    context: [{ key: "k", value: "v" }],
  });
  const { uri, inputsHash: hash } = await upload(fixture, { id: projectId, task: byspec, inputs });
  assert.match(uri, /^s3:\/\/flyte-data\/uploads\/p\/development\/offloaded-inputs\/[0-9a-f]{64}$/);
  const kept = await stored(fixture.objects, uri);
  assert.deepEqual(
    kept.literals.map((named) => named.name),
    ["c", "a", "extra"],
  );
  assert.deepEqual(kept.literals[1]?.value, integer(5n));
  assert.deepEqual(kept.context, inputs.context);
  assert.equal(hash, inputsHash(kept, ["verbose"]));
});

test("ignored inputs are stored but do not change the hash", async (t) => {
  const fixture = await dataProxyFixture(t);
  const run = { case: "runId", value: { project: "p", domain: "development", name: "r1" } } as const;
  const [one, two, three] = await Promise.all(
    [
      { c: 1n, verbose: 0n },
      { c: 1n, verbose: 1n },
      { c: 2n, verbose: 1n },
    ].map(({ c, verbose }) =>
      upload(fixture, {
        id: run,
        task: byspec,
        inputs: {
          literals: [
            { name: "c", value: integer(c) },
            { name: "verbose", value: integer(verbose) },
          ],
        },
      }),
    ),
  );
  assert.equal(one?.inputsHash, two?.inputsHash);
  assert.notEqual(one?.uri, two?.uri);
  assert.notEqual(two?.inputsHash, three?.inputsHash);
});

test("the same inputs are one object, and a task by id counts like the task itself", async (t) => {
  const fixture = await dataProxyFixture(t);
  fixture.tasks.set("env.t", spec);
  const inputs = { literals: [{ name: "c", value: integer(3n) }] };
  const taskId = {
    case: "taskId",
    value: { project: "p", domain: "development", name: "env.t", version: "1" },
  } as const;
  const answers = await Promise.all(
    [byspec, taskId, byspec, taskId].map((task) => upload(fixture, { id: projectId, task, inputs })),
  );
  assert.equal(new Set(answers.map(({ uri, inputsHash: hash }) => `${uri} ${hash}`)).size, 1);
});

test("no inputs at all are a readable object with a hash that the contract accepts", async (t) => {
  const fixture = await dataProxyFixture(t, { validate: true });
  const task = { case: "taskSpec", value: { taskTemplate: {} } } as const;
  const { uri, inputsHash: hash } = await upload(fixture, { id: projectId, task });
  assert.equal(hash, NO_INPUTS_HASH);
  assert.deepEqual(await stored(fixture.objects, uri), create(InputsSchema));
});

test("base_dir names another folder of the store, and nothing outside of it", async (t) => {
  const fixture = await dataProxyFixture(t);
  const request = { id: projectId, task: byspec };
  const { uri } = await upload(fixture, { ...request, baseDir: "s3://flyte-data/mine/" });
  assert.match(uri, /^s3:\/\/flyte-data\/mine\/p\/development\/offloaded-inputs\//);
  await stored(fixture.objects, uri);
  for (const baseDir of [
    "/tmp/x",
    "s3://elsewhere/x",
    "s3://flyte-data/../x",
    "s3://flyte-data/a//b",
    "gs://b/x",
    "x",
  ]) {
    await assert.rejects(upload(fixture, { ...request, baseDir }), wireError(Code.InvalidArgument), baseDir);
  }
});

test("what is missing, unknown or leads elsewhere is refused", async (t) => {
  const fixture = await dataProxyFixture(t);
  const at = (name: string, domain: string) => ({ case: "projectId", value: { name, domain } }) as const;
  await assert.rejects(upload(fixture, { task: byspec }), wireError(Code.InvalidArgument, /run_id or project_id/));
  await assert.rejects(upload(fixture, { id: projectId }), wireError(Code.InvalidArgument, /task_spec or task_id/));
  await assert.rejects(upload(fixture, { id: at("q", "development"), task: byspec }), wireError(Code.NotFound));
  await assert.rejects(upload(fixture, { id: at("..", "development"), task: byspec }), wireError(Code.InvalidArgument));
  await assert.rejects(upload(fixture, { id: at("p", "a/b"), task: byspec }), wireError(Code.InvalidArgument));
  const unknown = { case: "taskId", value: { name: "none" } } as const;
  await assert.rejects(upload(fixture, { id: projectId, task: unknown }), wireError(Code.NotFound, /none/));
  const trigger = { case: "triggerName", value: { name: "t" } } as const;
  await assert.rejects(upload(fixture, { id: projectId, task: trigger }), wireError(Code.Unimplemented, /task_id/));
});
