/**
 * Everything an executor can be told, with its default and its meaning: the one list that file, environment, flags and
 * documentation follow. The environment spells keys like `FLYTE_TS_CONTROL_PLANE`.
 */
import { connectorConfig } from "@flyte-ts/data-plane/plugins/connector";
import { jobConfig } from "@flyte-ts/data-plane/plugins/job-operators";
import { podConfig } from "@flyte-ts/data-plane/plugins/pod";
import {
  type ConfigSources,
  logSchema,
  objectStoreSchema,
  readConfig,
  telemetrySchema,
  webUrl,
} from "@flyte-ts/platform/config";
import { z } from "zod";

const text = z.string().min(1);
const dnsLabel = z
  .string()
  .regex(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/, "must be lower-case letters, digits and dashes")
  .max(63);

const capacity = z.strictObject({
  cpu: z.number().positive().optional().describe("cores of the largest node"),
  memoryBytes: z.int().positive().optional(),
  ephemeralStorageBytes: z.int().positive().optional(),
  accelerators: z.array(text).default([]).describe("devices as tasks name them, such as T4; * for any"),
});

const executorSchema = z.strictObject({
  cluster: dnsLabel.describe("the cluster's name in the control plane"),
  controlPlane: webUrl.describe("where the control plane is, as this process reaches it"),
  kubeconfig: text.optional().describe("KUBECONFIG, the pod's service account or ~/.kube/config if absent"),
  context: text.optional().describe("of the kubeconfig"),
  namespace: dnsLabel.optional().describe("where the executor's own objects live; the connection's if absent"),
  namespaceMode: z
    .enum(["single", "template"])
    .default("single")
    .describe("all actions in one namespace, or by template"),
  namespaceTemplate: text.default("{project}-{domain}"),
  namespaceDefaults: z
    .strictObject({
      quota: z.record(text, z.string()).default({}).describe("hard limits of a ResourceQuota, by resource"),
      serviceAccount: z
        .strictObject({
          name: text.default("default"),
          annotations: z.record(text, z.string()).default({}),
          imagePullSecrets: z.array(text).default([]),
        })
        .optional()
        .describe("made in each namespace"),
    })
    .prefault({})
    .describe("of namespaces that are made by template"),
  labels: z.record(text, z.string()).default({}).describe("what runs may select clusters by"),
  queues: z.array(dnsLabel).default([]).describe("queues that this cluster serves"),
  slots: z.int().min(1).max(100_000).default(1000).describe("actions that work at once"),
  capacity: capacity.prefault({}).describe("for a single action at most; unlimited where absent"),
  taskEndpoint: webUrl.optional().describe("the control plane as tasks reach it; controlPlane if absent"),
  objectStore: objectStoreSchema.prefault({}).describe("what the control plane says if absent"),
  taskObjectStoreEndpoint: webUrl.optional().describe("the object store as tasks reach it"),
  leaderElection: z.boolean().default(true).describe("of several replicas one works; needs the right to hold a Lease"),
  health: z
    .strictObject({
      host: text.default("127.0.0.1"),
      port: z.int().min(0).max(65535).default(8643).describe("of /healthz, /readyz and /metrics; 0 takes a free one"),
    })
    .prefault({}),
  concurrency: z.int().min(1).max(10_000).default(64).describe("attempts looked after at the same moment"),
  pods: podConfig.prefault({}),
  jobs: jobConfig.prefault({}),
  connectors: z.array(connectorConfig).default([]),
  logs: logSchema.prefault({}),
  telemetry: telemetrySchema.prefault({}),
  drainSeconds: z.number().min(0).max(3600).default(20),
});

export type ExecutorConfig = z.infer<typeof executorSchema>;

export function loadExecutorConfig(sources: ConfigSources): ExecutorConfig {
  return readConfig(executorSchema, { ...sources, fileName: "flyte-ts-executor.yaml" });
}
