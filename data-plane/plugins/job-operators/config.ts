/**
 * What jobs are made with beyond what their tasks and the pods' configuration say.
 *
 *     const config = jobConfig.parse({ operatorMs: 60_000, spark: { serviceAccount: "spark" } });
 */
import { z } from "zod";

const text = z.string().min(1);
const texts = z.record(text, z.string());

const ray = z.strictObject({
  headStartParams: texts
    .default({ "dashboard-host": "0.0.0.0", "include-dashboard": "true", "disable-usage-stats": "true" })
    .describe("options of `ray start`, where the task names no other"),
  workerStartParams: texts.default({ "disable-usage-stats": "true" }),
  submissionMode: z
    .enum(["K8sJobMode", "HTTPMode"])
    .default("K8sJobMode")
    .describe("who tells the cluster to run the task: a pod of its own, or the operator"),
  ttlSecondsAfterFinished: z
    .int()
    .min(0)
    .default(3600)
    .describe("when the operator takes the cluster down, should no executor do it before"),
});

const spark = z.strictObject({
  conf: texts.default({}).describe("Spark properties, where the task names no other"),
  version: text.default("3.5.0").describe("what the operator takes for the images' version of Spark"),
  serviceAccount: text
    .default("spark")
    .describe("for tasks that name none: it must be allowed to make executors' pods"),
});

export const jobConfig = z.strictObject({
  operatorMs: z.int().min(0).default(180_000).describe("a job that no operator has looked at fails after so long"),
  ray: ray.prefault({}),
  spark: spark.prefault({}),
});

export type JobConfig = z.infer<typeof jobConfig>;
