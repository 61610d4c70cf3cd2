/** Placeholders case by case; the environment, golden. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type LiteralSchema, PrimitiveSchema } from "@flyte-ts/contract/flyteidl2/core/literals_pb.ts";
import { TaskTemplateSchema } from "@flyte-ts/contract/flyteidl2/core/tasks_pb.ts";
import { InputsSchema } from "@flyte-ts/contract/flyteidl2/task/common_pb.ts";
import { attemptPlaces } from "../executor/index.ts";
import { leaseOf } from "../executor/testing/leases.ts";
import { environment, fillTemplate, templateValues, usesInputs, usesPlaceholder } from "./index.ts";

const lease = leaseOf({
  name: "act",
  attempt: 2,
  inputUri: "s3://b/in",
  runStartTime: { seconds: 1_700_000_000n, nanos: 250_000_000 },
});
const values = templateValues(lease, attemptPlaces(lease));
const fill = (arg: string, inputs?: Parameters<typeof fillTemplate>[2]) => fillTemplate(arg, values, inputs);

test("every placeholder, in any case of letters", () => {
  const base = "s3://flyte-data/p/development/r1/act";
  const cases: [string, string][] = [
    ["{{.input}}", "s3://b/in/inputs.pb"],
    ["{{.Input}}", "s3://b/in/inputs.pb"],
    ["{{ .inputPrefix }}/x", "s3://b/in/x"],
    ["{{.outputPrefix}}", `${base}/2`],
    ["{{$RawOutputDataPrefix}}", `${base}/2`],
    ["{{.checkpointOutputPrefix}}", `${base}/2/_flytecheckpoints`],
    ["{{.PREVCHECKPOINTPREFIX}}", `${base}/1/_flytecheckpoints`],
    ["{{.runName}}:{{.actionName}}", "r1:act"],
    ["{{.runStartTime}}", "2023-11-14T22:13:20.250Z"],
    ["{{.perRetryUniqueKey}}", "r1-act-2"],
    ["{{.taskTemplatePath}}", `${base}/2/task.pb`],
    ["{{.namespace}}", "p-development"],
    ["{{.whatever}} {{.input.more}} {{x}}", "{{.whatever}} {{.input.more}} {{x}}"],
    ["{not a template}", "{not a template}"],
  ];
  for (const [arg, expected] of cases) assert.equal(fill(arg), expected, arg);
  assert.equal(templateValues(leaseOf(), attemptPlaces(leaseOf())).prevCheckpointPrefix, "");
});

test("inputs in a command line, in their text form", () => {
  type Value = MessageInitShape<typeof PrimitiveSchema>["value"];
  const primitive = (value: Value): MessageInitShape<typeof LiteralSchema> => ({
    value: { case: "scalar", value: { value: { case: "primitive", value: create(PrimitiveSchema, { value }) } } },
  });
  const literals: Record<string, [MessageInitShape<typeof LiteralSchema>, string]> = {
    int: [primitive({ case: "integer", value: -5n }), "-5"],
    float: [primitive({ case: "floatValue", value: 1.5 }), "1.5"],
    text: [primitive({ case: "stringValue", value: "a {{.input}} $1" }), "a {{.input}} $1"],
    yes: [primitive({ case: "boolean", value: true }), "true"],
    when: [
      primitive({ case: "datetime", value: { $typeName: "google.protobuf.Timestamp", seconds: 0n, nanos: 0 } }),
      "1970-01-01T00:00:00.000Z",
    ],
    long: [
      primitive({
        case: "duration",
        value: { $typeName: "google.protobuf.Duration", seconds: 3723n, nanos: 500_000_000 },
      }),
      "1h2m3.5s",
    ],
    short: [
      primitive({
        case: "duration",
        value: { $typeName: "google.protobuf.Duration", seconds: 0n, nanos: 250_000_000 },
      }),
      "250ms",
    ],
    file: [{ value: { case: "scalar", value: { value: { case: "blob", value: { uri: "s3://b/f" } } } } }, "s3://b/f"],
    list: [
      {
        value: {
          case: "collection",
          value: { literals: [primitive({ case: "integer", value: 1n }), primitive({ case: "integer", value: 2n })] },
        },
      },
      "[1,2]",
    ],
  };
  const inputs = create(InputsSchema, {
    literals: Object.entries(literals).map(([name, [value]]) => ({ name, value })),
  });
  for (const [name, [, expected]] of Object.entries(literals))
    assert.equal(fill(`{{.Inputs.${name}}}`, inputs), expected);
  assert.throws(() => fill("{{.inputs.none}}", inputs), /`none`, which the action was not given/);
  const map = create(InputsSchema, { literals: [{ name: "m", value: { value: { case: "map", value: {} } } }] });
  assert.throws(() => fill("{{.inputs.m}}", map), /no text form/);
  assert.equal(usesInputs(["x", "{{.inputs.a}}"]), true);
  assert.equal(usesInputs(["{{.input}}"]), false);
  assert.equal(usesPlaceholder(["{{.TaskTemplatePath}}"], "taskTemplatePath"), true);
  assert.equal(
    fillTemplate("<{{.inputs.text}} {{.runName}}>", values, inputs, (text) => text.replaceAll("$", "$$$$")),
    "<a {{.input}} $$1 r1>",
    "what is put in is quoted, what stands there is not",
  );
});

test("the environment: later wins, and nobody replaces what names the action", () => {
  const template = create(TaskTemplateSchema, { id: { project: "tp", domain: "td", name: "e.f", version: "v" } });
  const leased = leaseOf({ attempt: 3, envs: { B: "run", C: "run", _U_ORG_NAME: "run", _U_EP_OVERRIDE: "run" } });
  const parts = {
    base: { PATH: "/base/bin", HOME: "/home", A: "base" },
    task: { A: "task", B: "task", C: "task", RUN_NAME: "task", PATH: "/task/bin" },
    server: { C: "server", _U_EP_OVERRIDE: "server" },
  };
  assert.deepEqual(environment({ lease: leased, template, ...parts }), {
    A: "task",
    ACTION_NAME: "a0",
    B: "run",
    C: "server",
    FLYTE_ATTEMPT_NUMBER: "2",
    FLYTE_INTERNAL_DOMAIN: "td",
    FLYTE_INTERNAL_EXECUTION_DOMAIN: "development",
    FLYTE_INTERNAL_EXECUTION_ID: "r1",
    FLYTE_INTERNAL_EXECUTION_PROJECT: "p",
    FLYTE_INTERNAL_NAME: "e.f",
    FLYTE_INTERNAL_PROJECT: "tp",
    FLYTE_INTERNAL_TASK_DOMAIN: "td",
    FLYTE_INTERNAL_TASK_NAME: "e.f",
    FLYTE_INTERNAL_TASK_PROJECT: "tp",
    FLYTE_INTERNAL_TASK_VERSION: "v",
    FLYTE_INTERNAL_VERSION: "v",
    HOME: "/home",
    PATH: "/task/bin",
    RUN_NAME: "r1",
    _F_PN: "a0",
    _U_EP_OVERRIDE: "server",
    _U_ORG_NAME: "local",
    _U_RUN_BASE: "s3://flyte-data/p/development/r1/",
    _U_USE_ACTIONS: "1",
  });
});
