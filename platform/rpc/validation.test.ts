import assert from "node:assert/strict";
import { test } from "node:test";
import {
  create,
  type DescField,
  type DescMessage,
  type Message,
  type MessageShape,
  ScalarType,
} from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";
import { createValidator } from "@bufbuild/protovalidate";
import { Code, ConnectError } from "@connectrpc/connect";
import { EnqueueRequestSchema, UpdateRequestSchema } from "@flyte-ts/contract/flyteidl2/actions/actions_service_pb.ts";
import { IdentifierSchema } from "@flyte-ts/contract/flyteidl2/app/app_definition_pb.ts";
import { SelectClusterRequestSchema } from "@flyte-ts/contract/flyteidl2/cluster/payload_pb.ts";
import { QueueIdentifierSchema, RunIdentifierSchema } from "@flyte-ts/contract/flyteidl2/common/identifier_pb.ts";
import { BackoffSchema } from "@flyte-ts/contract/flyteidl2/core/literals_pb.ts";
import { ReusePolicySchema } from "@flyte-ts/contract/flyteidl2/core/tasks_pb.ts";
import { CreateUploadLocationRequestSchema } from "@flyte-ts/contract/flyteidl2/dataproxy/dataproxy_service_pb.ts";
import { DeployTaskRequestSchema, ListTasksRequestSchema } from "@flyte-ts/contract/flyteidl2/task/task_service_pb.ts";
import { DeployTriggerRequestSchema } from "@flyte-ts/contract/flyteidl2/trigger/trigger_service_pb.ts";
import { CreateRunRequestSchema, ListRunsRequestSchema } from "@flyte-ts/contract/flyteidl2/workflow/run_service_pb.ts";
import fc from "fast-check";
import { requestValidation } from "./validation.ts";

const validate = requestValidation();

function refusal(schema: DescMessage, message: Message): ConnectError | undefined {
  try {
    validate(schema, message);
    return undefined;
  } catch (thrown) {
    assert.ok(thrown instanceof ConnectError, String(thrown));
    assert.equal(thrown.code, Code.InvalidArgument);
    return thrown;
  }
}

const run = { org: "", project: "flytesnacks", domain: "development", name: "r1" };

test("what a laptop sends, with an empty org everywhere, is valid", () => {
  const task = { org: "", project: "flytesnacks", domain: "development", name: "env.main", version: "abc" };
  const valid = <D extends DescMessage>(schema: D, message: MessageShape<D>) =>
    assert.equal(refusal(schema, message)?.message, undefined);
  valid(RunIdentifierSchema, create(RunIdentifierSchema, run));
  valid(ListRunsRequestSchema, create(ListRunsRequestSchema, { scopeBy: { case: "org", value: "" } }));
  valid(ListTasksRequestSchema, create(ListTasksRequestSchema, { scopeBy: { case: "org", value: "" } }));
  valid(
    CreateRunRequestSchema,
    create(CreateRunRequestSchema, {
      id: { case: "projectId", value: { organization: "", domain: "development", name: "flytesnacks" } },
      task: { case: "taskId", value: task },
    }),
  );
  valid(
    DeployTaskRequestSchema,
    create(DeployTaskRequestSchema, { taskId: task, spec: { taskTemplate: { type: "python" } } }),
  );
});

test("only emptiness of an organisation is forgiven", () => {
  const error = refusal(RunIdentifierSchema, create(RunIdentifierSchema, { ...run, org: "o".repeat(64) }));
  assert.match(error?.message ?? "", /org.*63/);
  assert.match(
    refusal(RunIdentifierSchema, create(RunIdentifierSchema, { ...run, project: "" }))?.message ?? "",
    /project/,
  );
});

test("the answer names the message and the whole path of the field", () => {
  const error = refusal(
    EnqueueRequestSchema,
    create(EnqueueRequestSchema, {
      action: {
        actionId: { name: "", run },
        inputUri: "s3://b/i",
        runOutputBase: "s3://b/o",
        spec: { case: "trace", value: { name: "t", spec: {} } },
      },
    }),
  );
  assert.match(error?.message ?? "", /flyteidl2\.actions\.EnqueueRequest/);
  assert.match(error?.message ?? "", /action\.action_id\.name/);
  assert.match(
    refusal(EnqueueRequestSchema, create(EnqueueRequestSchema, {}))?.message ?? "",
    /action: value is required/,
  );
});

test("rules written in CEL hold too", () => {
  assert.match(
    refusal(BackoffSchema, create(BackoffSchema, { base: { seconds: 1n }, factor: 2 }))?.message ?? "",
    /cap is required/,
  );
  assert.equal(
    refusal(BackoffSchema, create(BackoffSchema, { base: { seconds: 1n }, factor: 2, cap: { seconds: 9n } })),
    undefined,
  );
});

test("the gate before every call to the data plane is never refused", () => {
  requestValidation()(SelectClusterRequestSchema, create(SelectClusterRequestSchema));
});

test("the quick check and protovalidate agree on any message", () => {
  const schemas: DescMessage[] = [
    EnqueueRequestSchema,
    UpdateRequestSchema,
    CreateRunRequestSchema,
    DeployTaskRequestSchema,
    DeployTriggerRequestSchema,
    ListRunsRequestSchema,
    CreateUploadLocationRequestSchema,
    QueueIdentifierSchema,
    ReusePolicySchema,
    BackoffSchema,
    IdentifierSchema,
    RunIdentifierSchema,
  ];
  const official = createValidator();
  const answers = { valid: 0, invalid: 0 };
  fc.assert(
    fc.property(fc.constantFrom(...schemas), fc.integer(), (schema, seed) => {
      const roll = dice(seed);
      const message = anyMessage(schema, roll, roll() * 0.2, 0);
      const result = official.validate(schema, message);
      const ours = refusal(schema, message);
      if (result.kind === "error") {
        assert.match(ours?.message ?? "", /cannot be validated/, String(result.error));
        return;
      }
      const broken = (result.violations ?? []).filter((violation) => {
        const field = violation.field.at(-1);
        const named = field?.kind === "field" ? field.name : "";
        return !(["org", "organization"].includes(named) && ["string.min_len", "required"].includes(violation.ruleId));
      });
      assert.equal(ours === undefined, broken.length === 0, `${schema.typeName}: ${broken.map(String).join("; ")}`);
      for (const violation of broken) assert.ok(ours?.message.includes(violation.toString()));
      answers[broken.length === 0 ? "valid" : "invalid"]++;
    }),
    { numRuns: 1500 },
  );
  assert.ok(answers.valid > 100 && answers.invalid > 100, JSON.stringify(answers));
});

/** Numbers in [0, 1) that follow from the seed, so that a counterexample is one number. */
function dice(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

/** A message whose values are mostly harmless, and odd with probability `odd`. */
function anyMessage(schema: DescMessage, roll: () => number, odd: number, depth: number): Message {
  const message = reflect(schema);
  for (const oneof of schema.oneofs) {
    if (roll() < odd) continue;
    const field = oneof.fields[Math.floor(roll() * oneof.fields.length)];
    if (field !== undefined) fill(field);
  }
  for (const field of schema.fields) {
    if (field.oneof === undefined && roll() >= odd) fill(field);
  }
  return message.message;

  function fill(field: DescField): void {
    const tooDeep = depth > 6 && (field.message !== undefined || field.fieldKind === "list");
    if (tooDeep || field.message?.file.name.startsWith("google/protobuf/struct")) return;
    if (field.fieldKind === "scalar") message.set(field, scalar(field.scalar));
    else if (field.fieldKind === "enum") message.set(field, enumeration(field));
    else if (field.fieldKind === "message") {
      message.set(field, reflect(field.message, anyMessage(field.message, roll, odd, depth + 1)));
    } else if (field.fieldKind === "list") {
      const size = roll() < odd ? Math.floor(roll() * 40) : 1;
      const list = message.get(field);
      for (let i = 0; i < size; i++) {
        if (field.listKind === "scalar") list.add(scalar(field.scalar));
        else if (field.listKind === "enum") list.add(enumeration(field));
        else list.add(reflect(field.message, anyMessage(field.message, roll, odd, depth + 3)));
      }
    }
  }

  function enumeration(field: DescField): number {
    const values = field.enum?.values ?? [];
    return roll() < odd ? 0 : (values[Math.floor(roll() * values.length)]?.number ?? 0);
  }

  function scalar(type: ScalarType): unknown {
    const strange = roll() < odd;
    const pick = <T>(values: readonly T[]): T => values[Math.floor(roll() * values.length)] as T;
    switch (type) {
      case ScalarType.STRING:
        return strange
          ? pick(["", "x".repeat(31), "𝒳".repeat(30), "x".repeat(64), "y".repeat(300), "Ünï", "-a"])
          : "abc";
      case ScalarType.BYTES:
        return new Uint8Array(strange ? pick([0, 15, 17]) : 16);
      case ScalarType.BOOL:
        return roll() < 0.5;
      case ScalarType.DOUBLE:
      case ScalarType.FLOAT:
        return strange ? pick([0, -1, Number.NaN, 0.5, Number.POSITIVE_INFINITY]) : 1.5;
      case ScalarType.INT64:
      case ScalarType.SINT64:
      case ScalarType.SFIXED64:
        return strange ? pick([0n, -1n, 4000n]) : 5n;
      case ScalarType.UINT64:
      case ScalarType.FIXED64:
        return strange ? pick([0n, 4000n]) : 5n;
      case ScalarType.UINT32:
      case ScalarType.FIXED32:
        return strange ? pick([0, 4000]) : 5;
      default:
        return strange ? pick([0, -1, 4000]) : 5;
    }
  }
}
