import assert from "node:assert/strict";
import test from "node:test";
import { create, type JsonValue, type MessageInitShape } from "@bufbuild/protobuf";
import { Resources_ResourceName as Name } from "@flyte-ts/contract/flyteidl2/core/tasks_pb.ts";
import { TaskSpecSchema } from "@flyte-ts/contract/flyteidl2/task/task_definition_pb.ts";
import { bytesText, quantity } from "./quantity.ts";
import { CLUSTER_SELECTOR, taskNeeds } from "./task-needs.ts";

type Template = NonNullable<Exclude<MessageInitShape<typeof TaskSpecSchema>, { $typeName: string }>["taskTemplate"]>;
const needsOf = (taskTemplate: Template) => taskNeeds(create(TaskSpecSchema, { taskTemplate }));

test("quantities as Kubernetes writes them", () => {
  const table: [string, number | undefined][] = [
    ["500m", 0.5],
    ["2", 2],
    [" 1.5Gi ", 1.5 * 2 ** 30],
    ["1e3", 1000],
    ["1E", 1e18],
    ["1k", 1000],
    [".5", 0.5],
    ["100Mi", 100 * 2 ** 20],
    ["", undefined],
    ["many", undefined],
    ["1Gib", undefined],
  ];
  for (const [text, value] of table) assert.equal(quantity(text), value, text);
  assert.equal(bytesText(0), "0 B");
  assert.equal(bytesText(1.5 * 2 ** 30), "1.5 GiB");
});

test("a container asks for its requests, or for its limits where it has no requests", () => {
  const resources = {
    requests: [{ name: Name.CPU, value: "500m" }],
    limits: [
      { name: Name.CPU, value: "2" },
      { name: Name.MEMORY, value: "1Gi" },
      { name: Name.EPHEMERAL_STORAGE, value: "nonsense" },
    ],
  };
  assert.deepEqual(needsOf({ target: { case: "container", value: { resources } } }), {
    accelerator: "",
    cpu: 0.5,
    memoryBytes: 2 ** 30,
    ephemeralStorageBytes: 0,
    selector: "",
  });
});

test("a pod asks for the sum of its containers, and may select clusters", () => {
  const containers: JsonValue[] = [
    { name: "a", resources: { requests: { cpu: 1, memory: "1Gi" } } },
    { name: "b", resources: { requests: { cpu: "500m" }, limits: { memory: "1Gi", "nvidia.com/gpu": 1 } } },
    { name: "c" },
  ];
  const metadata = { annotations: { [CLUSTER_SELECTOR]: "tier=gpu" } };
  assert.deepEqual(needsOf({ target: { case: "k8sPod", value: { podSpec: { containers }, metadata } } }), {
    accelerator: "gpu",
    cpu: 1.5,
    memoryBytes: 2 * 2 ** 30,
    ephemeralStorageBytes: 0,
    selector: "tier=gpu",
  });
  assert.equal(needsOf({ target: { case: "k8sPod", value: { podSpec: { containers: "none" } } } }).cpu, 0);
});
