/**
 * Everything a server can be told, with its default and its meaning: the one list that file, environment, flags and
 * documentation follow.
 *
 * Promise: a `Config` is complete and within bounds; who gets one checks nothing again.
 */
import { availableParallelism } from "node:os";
import { z } from "zod";

const port = z.int().min(0).max(65535);
const name = z
  .string()
  .regex(/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/, "must be lower-case letters, digits and dashes")
  .max(63);
const url = (pattern: RegExp, want: string) =>
  z.string().refine((text) => pattern.test(text) && URL.canParse(text), want);
export const webUrl = url(/^https?:\/\//, "must be a URL that begins with http:// or https://");

export const objectStoreSchema = z.strictObject({
  url: url(/^s3:\/\/[^/]+/, "must be s3://bucket or s3://bucket/prefix")
    .optional()
    .describe("where payloads live; a folder of the data dir if absent"),
  endpoint: webUrl.optional().describe("address of an S3 server that is not Amazon's"),
  region: z.string().min(1).optional(),
  accessKeyId: z.string().min(1).optional().describe("the usual AWS sources if absent"),
  secretAccessKey: z.string().min(1).optional(),
});

export const logLevels = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;

export const logSchema = z.strictObject({
  level: z.enum(logLevels).default("info"),
  format: z.enum(["json", "pretty"]).default("json"),
});

export const telemetrySchema = z.strictObject({
  otlpEndpoint: webUrl.optional().describe("OTLP/HTTP collector for traces; off if absent"),
});

export function configSchema(dataDir: string) {
  return z.strictObject({
    host: z.string().min(1).default("127.0.0.1").describe("address to listen on"),
    port: port.default(8642).describe("the one port; 0 takes a free one"),
    open: z.boolean().default(false).describe("listen beyond this machine although there is no authentication"),
    dataDir: z.string().min(1).default(dataDir).describe("database, objects and logs of the embedded parts"),
    databaseUrl: url(/^postgres(ql)?:\/\//, "must be a URL that begins with postgres:// or postgresql://")
      .optional()
      .describe("a PostgreSQL ≥ 15; the embedded one if absent"),
    objectStore: objectStoreSchema.prefault({}),
    python: z.string().min(1).optional().describe("interpreter with the flyte package for tasks"),
    projects: z.array(name).min(1).default(["flytesnacks"]).describe("projects that exist from the start"),
    domains: z.array(name).min(1).default(["development", "staging", "production"]),
    logs: logSchema.prefault({}),
    limits: z
      .strictObject({
        requestBytes: z
          .int()
          .min(1024)
          .max(1024 ** 3)
          .default(32 * 1024 * 1024)
          .describe("largest request after decompression"),
        pageSize: z.int().min(1).max(10_000).default(200).describe("most items of a list page"),
      })
      .prefault({}),
    embedded: z
      .strictObject({
        slots: z.int().min(1).max(10_000).default(defaultSlots()).describe("tasks that run at once on this machine"),
        cluster: name
          .default("embedded")
          .describe("this machine's name among the clusters; servers of one database differ"),
      })
      .prefault({}),
    clusters: z
      .strictObject({
        leaseSeconds: z
          .number()
          .min(1)
          .max(3600)
          .default(60)
          .describe("a cluster not heard of for so long loses its work"),
        heartbeatSeconds: z.number().min(0.1).max(600).default(10).describe("how often executors say that they live"),
      })
      .prefault({})
      .describe("the same on all servers of one database"),
    retries: z
      .strictObject({
        systemFailures: z.int().min(0).max(100).default(3).describe("tries after failures that are not the task's"),
      })
      .prefault({}),
    telemetry: telemetrySchema.prefault({}),
    drainSeconds: z.number().min(0).max(3600).default(20).describe("time for calls in flight on SIGTERM"),
  });
}

export type Config = z.infer<ReturnType<typeof configSchema>>;

function defaultSlots(): number {
  return Math.max(8, 4 * availableParallelism());
}
