/** From a spark task to a SparkApplication: templates for driver and executors, the task's arguments, Spark's properties. Pure. */
import { SparkApplication_Type, type SparkJob, SparkJobSchema } from "@flyte-ts/contract/flyteidl2/plugins/spark_pb.ts";
import { BadSpecError } from "../../pod/bad-spec.ts";
import type { Passed } from "../../pod/objects.ts";
import { customOf } from "../build.ts";
import type { JobRequest, RolePod } from "../kind.ts";

export const DRIVER = "driver";
const DRIVER_CONTAINER = "spark-kubernetes-driver";
const EXECUTOR_CONTAINER = "spark-kubernetes-executor";

const types: Readonly<Record<number, string>> = {
  [SparkApplication_Type.JAVA]: "Java",
  [SparkApplication_Type.SCALA]: "Scala",
  [SparkApplication_Type.R]: "R",
};

export function buildSparkApplication(request: JobRequest): Passed {
  const { template, config } = request;
  const job = customOf(SparkJobSchema, template);
  if (job.mainApplicationFile === "") {
    throw new BadSpecError("the task names no main application file: Spark needs one, such as local:///app/main.py");
  }
  // An executor can be lost and made again; with the driver everything is.
  const driver = request.pod({
    name: DRIVER,
    container: DRIVER_CONTAINER,
    overlay: job.driverPod,
    interruptible: false,
  });
  const executor = request.pod({ name: "executor", container: EXECUTOR_CONTAINER, overlay: job.executorPod });
  const args = driver.primary.args ?? [];
  const account = template.securityContext?.runAs?.k8sServiceAccount || config.spark.serviceAccount;
  return {
    type: types[job.applicationType] ?? "Python",
    mode: "cluster",
    sparkVersion: config.spark.version,
    image: driver.primary.image ?? "",
    mainApplicationFile: job.mainApplicationFile,
    ...(job.mainClass === "" ? {} : { mainClass: job.mainClass }),
    ...(args.length > 0 ? { arguments: args } : {}),
    sparkConf: confOf(request, job),
    ...(Object.keys(job.hadoopConf).length > 0 ? { hadoopConf: job.hadoopConf } : {}),
    // Retries are the control plane's.
    restartPolicy: { type: "Never" },
    driver: { ...podOf(driver), serviceAccount: account },
    executor: { ...podOf(executor), serviceAccount: account },
  };
}

/** Spark makes the command line itself. */
function podOf({ metadata, spec, primary }: RolePod): Passed {
  const { command: _command, args: _args, ...container } = primary;
  const containers = spec.containers.map((one) => (one.name === primary.name ? container : one));
  return {
    image: primary.image ?? "",
    labels: metadata.labels,
    annotations: metadata.annotations,
    template: { metadata, spec: { ...spec, containers } },
  };
}

function confOf({ name, config }: JobRequest, job: SparkJob): Record<string, string> {
  const python = job.executorPath;
  const conf: Record<string, string> = {
    ...config.spark.conf,
    ...(python === "" ? {} : { "spark.pyspark.python": python, "spark.pyspark.driver.python": python }),
    ...job.sparkConf,
  };
  for (const role of ["driver", "executor"]) {
    const cores = conf[`spark.kubernetes.${role}.request.cores`] ?? conf[`spark.${role}.cores`];
    const limit = `spark.kubernetes.${role}.limit.cores`;
    if (cores !== undefined && conf[limit] === undefined) conf[limit] = cores;
  }
  return {
    ...conf,
    "spark.kubernetes.executor.podNamePrefix": name,
    "spark.kubernetes.driver.podTemplateContainerName": DRIVER_CONTAINER,
    "spark.kubernetes.executor.podTemplateContainerName": EXECUTOR_CONTAINER,
  };
}
