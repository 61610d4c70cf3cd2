/** What a pod asks of the cluster: amounts, devices, nodes, memory to share. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  AcceleratorModel,
  GPUAccelerator_DeviceClass,
  Resources_ResourceName,
} from "@flyte-ts/contract/flyteidl2/core/tasks_pb.ts";
import type { PodSpec } from "./objects.ts";
import { containerTask, main, podTask, refuses, spec, type Template } from "./testing/built.ts";

const { CPU, MEMORY, GPU, EPHEMERAL_STORAGE } = Resources_ResourceName;

test("resources: what is not named follows what is, then the cluster", () => {
  type Entry = [number, string];
  const entries = (list: Entry[] = []) => list.map(([name, value]) => ({ name: name as never, value }));
  const resources = (requests: Entry[], limits: Entry[], config: object = {}) =>
    main(containerTask({ resources: { requests: entries(requests), limits: entries(limits) } }), { config }).resources;
  const both = (amounts: object) => ({ requests: amounts, limits: amounts });
  const cases: [Entry[], Entry[], object, object][] = [
    [[], [], {}, both({ cpu: "1", memory: "1Gi" })],
    [[[CPU, "2"]], [], {}, both({ cpu: "2", memory: "1Gi" })],
    [[], [[MEMORY, "3Gi"]], {}, both({ cpu: "1", memory: "3Gi" })],
    [
      [[CPU, "1"]],
      [[CPU, "4"]],
      { requests: { memory: "2Gi" }, limits: { memory: "4Gi" } },
      { requests: { cpu: "1", memory: "2Gi" }, limits: { cpu: "4", memory: "4Gi" } },
    ],
    // A cluster that reckons with little lets tasks have more; it never lets them have less than they reckon with.
    [
      [],
      [],
      { requests: { cpu: "10m", memory: "3Gi" } },
      { requests: { cpu: "10m", memory: "3Gi" }, limits: { cpu: "1", memory: "3Gi" } },
    ],
    [[[GPU, "2"]], [], { requests: {}, limits: {} }, both({ "nvidia.com/gpu": "2" })],
    [[[EPHEMERAL_STORAGE, "10Gi"]], [], { requests: {}, limits: {} }, both({ "ephemeral-storage": "10Gi" })],
  ];
  for (const [requests, limits, config, expected] of cases)
    assert.deepEqual(resources(requests, limits, config), expected);
  const task = (value: string, limit = "") =>
    containerTask({ resources: { requests: entries([[MEMORY, value]]), limits: entries([[MEMORY, limit]]) } });
  refuses(task("much"), /memory = "much" is no quantity/);
  refuses(task("9Gi"), /9Gi is more than the 8Gi/, { config: { maximum: { memory: "8Gi" } } });
  refuses(task("2Gi", "1Gi"), /more than its limit 1Gi/);
});

test("accelerators: the device's resource, nodes that have it, their taints", () => {
  const gpu = (gpuAccelerator: object): Template =>
    containerTask({ resources: { requests: [{ name: GPU, value: "1" }] } }, { extendedResources: { gpuAccelerator } });
  const required = (pod: PodSpec) =>
    pod.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms;
  const label = "k8s.amazonaws.com/accelerator";
  const plain = spec(gpu({ device: "nvidia-tesla-a100" }));
  assert.deepEqual(required(plain), [
    { matchExpressions: [{ key: label, operator: "In", values: ["nvidia-tesla-a100"] }] },
  ]);
  assert.deepEqual(plain.tolerations, [
    { key: label, operator: "Equal", value: "nvidia-tesla-a100", effect: "NoSchedule" },
  ]);

  const tpu = spec(
    gpu({
      deviceClass: GPUAccelerator_DeviceClass.GOOGLE_TPU,
      acceleratorModel: AcceleratorModel.GOOGLE_TPU_V5E,
      partitionSizeValue: { case: "partitionSize", value: "2x2" },
    }),
    {
      config: {
        accelerators: {
          devices: { GOOGLE_TPU_V5E: "tpu-v5-lite" },
          tolerations: { "google.com/tpu": [{ key: "tpu" }] },
        },
      },
    },
  );
  assert.equal(tpu.containers[0]?.resources?.limits?.["google.com/tpu"], "1");
  assert.deepEqual(
    required(tpu)?.[0]?.matchExpressions?.map(({ values }) => values),
    [["tpu-v5-lite"], ["2x2"]],
  );
  assert.deepEqual(
    tpu.tolerations?.map(({ key }) => key),
    ["tpu", label, "k8s.amazonaws.com/gpu-partition-size"],
  );

  const whole = spec(gpu({ device: "a100", partitionSizeValue: { case: "unpartitioned", value: true } }));
  assert.equal(required(whole)?.[0]?.matchExpressions?.[1]?.operator, "DoesNotExist");
  const none = spec(containerTask({}, { extendedResources: { gpuAccelerator: { device: "a100" } } }));
  assert.equal(none.affinity, undefined, "a pod that asks for no device may run anywhere");

  // A pod's own alternatives each get what is needed.
  const terms = [{ matchExpressions: [{ key: "z", operator: "Exists" }] }, { matchFields: [] }];
  const own = spec(
    podTask(
      {
        containers: [{ name: "m", image: "i", resources: { limits: { "nvidia.com/gpu": 1 } } }],
        affinity: { nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: terms } } },
      },
      { extendedResources: { gpuAccelerator: { device: "t4" } } },
    ),
  );
  assert.deepEqual(
    required(own)?.map(({ matchExpressions }) => matchExpressions?.at(-1)?.values),
    [["t4"], ["t4"]],
  );
  refuses(gpu({ deviceClass: 4 }), /no resource for accelerators of the class HABANA_GAUDI/, {
    config: { accelerators: { resources: { NVIDIA_GPU: "nvidia.com/gpu" } } },
  });
});

test("interruptible tasks and others go where the cluster sends them", () => {
  const config = {
    tolerations: [{ key: "all" }],
    nodeSelector: { pool: "tasks" },
    interruptible: { tolerations: [{ key: "spot" }], nodeSelector: { spot: "yes" } },
    nonInterruptible: { nodeRequirements: [{ key: "spot", operator: "DoesNotExist" }] },
  };
  const wish = (value: boolean) =>
    containerTask({}, { metadata: { interruptibleValue: { case: "interruptible", value } } });
  const spot = spec(wish(true), { config });
  assert.deepEqual(spot.tolerations, [{ key: "all" }, { key: "spot" }]);
  assert.deepEqual(spot.nodeSelector, { pool: "tasks", spot: "yes" });
  assert.equal(spot.affinity, undefined);
  for (const steady of [spec(wish(false), { config }), spec(wish(true), { config, interruptible: false })]) {
    assert.deepEqual(steady.tolerations, [{ key: "all" }]);
    assert.ok(steady.affinity?.nodeAffinity);
  }
});

test("shared memory is a volume of memory, at its place once", () => {
  const shared = (sharedMemory: object, rest: Template = containerTask({})): Template => ({
    ...rest,
    extendedResources: { sharedMemory },
  });
  const pod = spec(shared({ mountPath: "/dev/shm", mountName: "flyte-shm", sizeLimit: "2Gi" }));
  assert.deepEqual(pod.volumes, [{ name: "flyte-shm", emptyDir: { medium: "Memory", sizeLimit: "2Gi" } }]);
  assert.deepEqual(pod.containers[0]?.volumeMounts, [{ name: "flyte-shm", mountPath: "/dev/shm" }]);
  assert.deepEqual(spec(shared({})).volumes, [{ name: "flyte-shared-memory", emptyDir: { medium: "Memory" } }]);
  const taken = podTask({
    containers: [{ name: "m", image: "i", volumeMounts: [{ name: "v", mountPath: "/dev/shm" }] }],
  });
  refuses(shared({}, taken), /two volumes are mounted at \/dev\/shm/);
});
