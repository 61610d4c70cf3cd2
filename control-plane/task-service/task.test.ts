import assert from "node:assert/strict";
import { test } from "node:test";
import { create, fromBinary } from "@bufbuild/protobuf";
import { TaskIdentifierSchema, TaskSpecSchema } from "@flyte-ts/contract/flyteidl2/task/task_definition_pb.ts";
import { specDigest } from "./spec-digest.ts";
import { deployedTask } from "./task.ts";

const id = create(TaskIdentifierSchema, {
  org: "acme",
  project: "p",
  domain: "d",
  name: "env.sub.main",
  version: "v1",
});

test("descriptions are cut to their limits, by characters, in what is stored only", () => {
  const spec = create(TaskSpecSchema, {
    environment: { name: "env", description: "e".repeat(300) },
    documentation: { shortDescription: "😀".repeat(300), longDescription: "l".repeat(3000), sourceCode: { link: "x" } },
  });
  const stored = deployedTask(id, spec, "local");
  const { environment, documentation } = fromBinary(TaskSpecSchema, stored.spec);
  assert.equal(environment?.description, "e".repeat(255));
  assert.equal(documentation?.shortDescription, "😀".repeat(255));
  assert.equal(documentation.longDescription, "l".repeat(2048));
  assert.equal(documentation.sourceCode?.link, "x");
  assert.equal(stored.row.shortDescription, documentation.shortDescription);
  assert.deepEqual(Buffer.from(stored.row.specDigest), Buffer.from(specDigest(stored.spec)));
  assert.equal(spec.documentation?.longDescription.length, 3000);
});

test("the row of a bare task", () => {
  const { row } = deployedTask(id, create(TaskSpecSchema), "ann");
  assert.deepEqual(
    { ...row, specDigest: undefined },
    {
      project: "p",
      domain: "d",
      name: "env.sub.main",
      version: "v1",
      specDigest: undefined,
      shortName: "main",
      environmentName: "",
      shortDescription: "",
      isEntrypoint: false,
      deployedBy: "ann",
    },
  );
});
