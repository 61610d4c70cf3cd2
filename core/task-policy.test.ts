import assert from "node:assert/strict";
import test from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Resources_ResourceName } from "@flyte-ts/contract/flyteidl2/core/tasks_pb.ts";
import { TaskSpecSchema } from "@flyte-ts/contract/flyteidl2/task/task_definition_pb.ts";
import { taskPolicy } from "./task-policy.ts";

type Spec = Exclude<MessageInitShape<typeof TaskSpecSchema>, { $typeName: string }>;
const policyOf = (spec: Spec) => taskPolicy(create(TaskSpecSchema, spec), 3);

test("an empty spec: no retries, no limits, no cache, one slot", () => {
  assert.deepEqual(policyOf({}), {
    taskType: "",
    shortName: "",
    environmentName: "",
    retry: { retries: 0, systemRetries: 3 },
    queuedTimeoutMs: 0,
    deadlineMs: 0,
    slots: 1,
    needs: { accelerator: "", cpu: 0, memoryBytes: 0, ephemeralStorageBytes: 0, selector: "" },
  });
});

test("names, retries and limits", () => {
  const backoff = { base: { seconds: 2n }, factor: 1.5, cap: { seconds: 60n, nanos: 500_000_000 } };
  const policy = policyOf({
    shortName: "load",
    environment: { name: "etl" },
    taskTemplate: {
      type: "python-task",
      metadata: {
        retries: { retries: 4, backoff },
        timeouts: { queuedTimeout: { seconds: 30n }, deadline: { seconds: 3600n } },
      },
    },
  });
  assert.equal(policy.taskType, "python-task");
  assert.equal(policy.shortName, "load");
  assert.equal(policy.environmentName, "etl");
  assert.deepEqual(policy.retry, {
    retries: 4,
    systemRetries: 3,
    backoff: { baseMs: 2000, factor: 1.5, capMs: 60_500 },
  });
  assert.equal(policy.queuedTimeoutMs, 30_000);
  assert.equal(policy.deadlineMs, 3_600_000);
});

test("a backoff without factor does not grow, one without cap has none", () => {
  const { retry } = policyOf({
    taskTemplate: { metadata: { retries: { retries: 1, backoff: { base: { seconds: 1n } } } } },
  });
  assert.equal(retry.backoff?.baseMs, 1000);
  assert.ok([0, 1].includes(retry.backoff?.factor ?? -1));
  assert.equal(retry.backoff?.capMs, undefined);
});

test("the cache is what `discoverable` says", () => {
  const metadata = {
    discoveryVersion: "7",
    cacheSerializable: true,
    cacheMaxAge: { seconds: 60n },
    cacheIgnoreInputVars: ["when"],
  };
  assert.equal(policyOf({ taskTemplate: { metadata } }).cache, undefined);
  assert.deepEqual(policyOf({ taskTemplate: { metadata: { ...metadata, discoverable: true } } }).cache, {
    serialize: true,
    maxAgeMs: 60_000,
    version: "7",
    ignoredInputs: ["when"],
  });
});

test("a sleep takes no slot", () => {
  assert.equal(policyOf({ taskTemplate: { type: "core-sleep" } }).slots, 0);
  assert.equal(policyOf({ taskTemplate: { type: "container" } }).slots, 1);
});

test("the device a task asks for", () => {
  const gpu = (value: string) => ({ name: Resources_ResourceName.GPU, value });
  const cpu = { name: Resources_ResourceName.CPU, value: "8" };
  type Entry = { name: Resources_ResourceName; value: string };
  const container = (requests: Entry[], limits: Entry[] = []) => ({
    target: { case: "container" as const, value: { resources: { requests, limits } } },
  });
  const table: { template: NonNullable<Spec["taskTemplate"]>; expected: string }[] = [
    { template: container([cpu]), expected: "" },
    { template: container([cpu, gpu("1")]), expected: "gpu" },
    { template: container([cpu], [gpu("2")]), expected: "gpu" },
    { template: container([gpu("0")]), expected: "" },
    {
      template: { ...container([gpu("1")]), extendedResources: { gpuAccelerator: { device: "nvidia-l4" } } },
      expected: "nvidia-l4",
    },
    { template: { extendedResources: { gpuAccelerator: { device: "" } } }, expected: "" },
  ];
  for (const { template, expected } of table)
    assert.equal(policyOf({ taskTemplate: template }).needs.accelerator, expected);
});
