/** Container tasks with files for inputs and outputs. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { DataLoadingConfigSchema } from "@flyte-ts/contract/flyteidl2/core/tasks_pb.ts";
import { SimpleType } from "@flyte-ts/contract/flyteidl2/core/types_pb.ts";
import { InputsSchema, OutputsSchema } from "@flyte-ts/contract/flyteidl2/task/common_pb.ts";
import { leaseOf } from "../../executor/testing/leases.ts";
import { relocate } from "./staging.ts";
import { host } from "./testing/host.ts";

const dataConfig = { enabled: true, inputPath: "/var/inputs", outputPath: "/var/outputs" };

test("the container's folders are replaced where they stand as a path, and only there", () => {
  const config = create(DataLoadingConfigSchema, dataConfig);
  assert.deepEqual(
    relocate(["cat /var/inputs/x > '/var/outputs/y'", "/var/outputs", "/data/var/inputs/x", "/var/inputs2"], config, {
      inputs: "/a/i",
      outputs: "/a/o",
    }),
    ["cat /a/i/x > '/a/o/y'", "/a/o", "/data/var/inputs/x", "/var/inputs2"],
  );
});

test("files go in and come out", async (t) => {
  await using machine = await host(t);
  const integer = { case: "integer", value: 20n } as const;
  const inputs = create(InputsSchema, {
    literals: [
      {
        name: "n",
        value: { value: { case: "scalar", value: { value: { case: "primitive", value: { value: integer } } } } },
      },
      {
        name: "f",
        value: {
          value: { case: "scalar", value: { value: { case: "blob", value: { uri: "s3://flyte-data/f.txt" } } } },
        },
      },
    ],
  });
  await machine.objectStore.put("s3://flyte-data/f.txt", Buffer.from("file content"));
  await machine.objectStore.put("s3://flyte-data/in/inputs.pb", toBinary(InputsSchema, inputs));
  const lease = (name: string, script: string) =>
    leaseOf({
      name,
      inputUri: "s3://flyte-data/in",
      template: {
        interface: {
          outputs: {
            variables: [
              { key: "sum", value: { type: { type: { case: "simple", value: SimpleType.INTEGER } } } },
              { key: "copy", value: { type: { type: { case: "blob", value: {} } } } },
            ],
          },
        },
        target: { case: "container", value: { args: ["/bin/sh", "-c", script], dataConfig } },
      },
    });
  machine.plane.lease(
    lease(
      "good",
      "echo $(($(cat /var/inputs/n) + {{.inputs.n}})) > /var/outputs/sum; cp /var/inputs/f /var/outputs/copy",
    ),
  );
  machine.plane.lease(lease("half", "echo 1 > /var/outputs/sum"));
  machine.plane.lease(lease("wrong", "echo many > /var/outputs/sum; cp /var/inputs/f /var/outputs/copy"));
  machine.plane.lease(lease("told", "echo ' the disk is gone ' > /var/outputs/_ERROR; exit 4"));
  machine.plane.lease(lease("four", "echo 1 > /var/outputs/sum; cp /var/inputs/f /var/outputs/copy; exit 4"));
  const good = await machine.released("7/good/1");
  assert.deepEqual(good.phases, ["RUNNING", "SUCCEEDED"], good.error?.message);
  const outputs = fromBinary(OutputsSchema, await machine.objectStore.get(`${good.outputUri}/outputs.pb`));
  const [sum, copy] = outputs.literals.map((one) => one.value?.value);
  assert.ok(sum?.case === "scalar" && sum.value.value.case === "primitive");
  assert.equal(sum.value.value.value.value.value, 40n);
  assert.ok(copy?.case === "scalar" && copy.value.value.case === "blob");
  assert.equal(Buffer.from(await machine.objectStore.get(copy.value.value.value.uri)).toString(), "file content");
  for (const [name, code, message] of [
    ["half", "OutputsMissing", /no file for its output `copy`/],
    ["wrong", "OutputInvalid", /`sum` cannot be read as the type/],
    ["told", "TaskReportedError", /^the disk is gone$/],
    ["four", "ExitCode4", /exit code 4/],
  ] as const) {
    const told = await machine.released(`7/${name}/1`);
    assert.deepEqual([told.phases.at(-1), told.error?.code], ["FAILED", code]);
    assert.match(told.error?.message ?? "", message);
  }
});
