/**
 * What a cluster's pods are made with, beyond what tasks ask for: the one list that file and documentation follow.
 *
 * Promise: a `PodConfig` is complete and within bounds; who gets one checks nothing again.
 *
 *     const config = podConfig.parse({ requests: { cpu: "500m" }, serviceAccount: "tasks" });
 */
import { z } from "zod";
import { quantity } from "./quantity.ts";

const amount = z
  .string()
  .refine((text) => (quantity(text) ?? -1) >= 0, "must be a quantity of Kubernetes, such as 500m or 2Gi");
const text = z.string().min(1);
const texts = z.record(text, z.string());
const ms = z.int().min(0);

const toleration = z.strictObject({
  key: text.optional(),
  operator: z.enum(["Exists", "Equal"]).optional(),
  value: z.string().optional(),
  effect: z.enum(["NoSchedule", "PreferNoSchedule", "NoExecute"]).optional(),
  tolerationSeconds: z.int().optional(),
});

const nodeRequirement = z.strictObject({
  key: text,
  operator: z.enum(["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]),
  values: z.array(z.string()).optional(),
});

const placement = z.strictObject({
  tolerations: z.array(toleration).default([]),
  nodeSelector: texts.default({}),
  /** All of them must hold. */
  nodeRequirements: z.array(nodeRequirement).default([]),
});

const amounts = z.strictObject({
  cpu: amount.optional(),
  memory: amount.optional(),
  ephemeralStorage: amount.optional(),
});

const accelerators = z.strictObject({
  resources: z
    .record(text, text)
    .default({
      NVIDIA_GPU: "nvidia.com/gpu",
      GOOGLE_TPU: "google.com/tpu",
      AMAZON_NEURON: "aws.amazon.com/neuron",
      AMD_GPU: "amd.com/gpu",
      HABANA_GAUDI: "habana.ai/gaudi",
    })
    .describe("the resource that a pod asks for, by device class"),
  deviceLabel: text.default("k8s.amazonaws.com/accelerator").describe("label of nodes that names their device"),
  partitionLabel: text.default("k8s.amazonaws.com/gpu-partition-size"),
  devices: texts.default({}).describe("the label's value where it is not the device's own name, by device"),
  tolerations: z.record(text, z.array(toleration)).default({}).describe("by resource; beside those for the device"),
  unpartitionedRequirement: nodeRequirement.optional().describe("in place of: the node has no partition label"),
  unpartitionedToleration: toleration.optional(),
});

const logLink = z.strictObject({
  name: text,
  uris: z.array(text).min(1).describe("with placeholders such as {{.podName}}"),
  showWhilePending: z.boolean().default(false),
  hideOnceFinished: z.boolean().default(false),
});

const graces = z.strictObject({
  imagePullMs: ms.default(180_000).describe("an image that cannot be pulled"),
  createContainerMs: ms.default(180_000).describe("a container that cannot be created, or waits for an unknown reason"),
  schedulingMs: ms.optional().describe("a pod that no node takes; waits for ever if absent"),
  pendingMs: ms.optional().describe("from the pod's creation to its start; for ever if absent"),
  nodeLostMs: ms.default(30_000).describe("a deleted pod that its node does not end, beyond its own grace period"),
  quotaRetryMs: ms.default(10_000).describe("between two tries while a quota is full"),
});

export const podConfig = z.strictObject({
  requests: amounts.default({ cpu: "1", memory: "1Gi" }).describe("for tasks that ask for nothing"),
  limits: amounts
    .default({ cpu: "1", memory: "1Gi" })
    .describe("for tasks that name no limit and no request; raised to the request where that is more"),
  maximum: amounts.default({}).describe("what a task may ask for at most"),
  serviceAccount: text.optional().describe("for tasks that name none"),
  iamRoleAnnotation: text.optional().describe("annotation that takes a task's IAM role"),
  env: texts.default({}).describe("for every task container; wins over the task's and the run's"),
  envFromSecrets: z.array(text).default([]).describe("Secret objects of the namespace whose keys become variables"),
  labels: texts.default({}),
  annotations: texts.default({ "cluster-autoscaler.kubernetes.io/safe-to-evict": "false" }),
  tolerations: z.array(toleration).default([]),
  nodeSelector: texts.default({}),
  interruptible: placement.prefault({}).describe("added to tasks that may be interrupted"),
  nonInterruptible: placement.prefault({}).describe("added to all others"),
  accelerators: accelerators.prefault({}),
  imagePullSecrets: z.array(text).default([]),
  imagePullPolicy: z.enum(["Always", "IfNotPresent", "Never"]).optional(),
  schedulerName: text.optional(),
  runtimeClassName: text.optional(),
  copilotImage: text
    .optional()
    .describe("image of flyte-ts, for tasks that take inputs and outputs as files; they are refused if absent"),
  copilotRequests: amounts.default({ cpu: "100m", memory: "128Mi" }).describe("of each of its two containers"),
  copilotLimits: amounts.default({ cpu: "1", memory: "256Mi" }).describe("likewise; little CPU makes its start slow"),
  copilotPatienceSeconds: z.int().min(0).max(86_400).default(600).describe("how long it bears an object store away"),
  podTemplate: text.optional().describe("the PodTemplate for tasks that name none"),
  logLinks: z.array(logLink).default([]),
  graces: graces.prefault({}),
  terminationGraceSeconds: z.int().min(0).default(30).describe("between SIGTERM and SIGKILL when an attempt is ended"),
});

export type PodConfig = z.infer<typeof podConfig>;
export type Graces = PodConfig["graces"];
