/** Spark tasks on the Spark operator's real schema. */
import type { Pod } from "../../pod/objects.ts";
import type { JobObject } from "../index.ts";
import { kindSuite } from "../testing/kind-suite.ts";
import { sparkKind } from "./plugin.ts";

const status = (state: string, errorMessage?: string) => ({
  applicationState: { state, ...(errorMessage ? { errorMessage } : {}) },
  driverInfo: { podName: "d" },
});

await kindSuite({
  kind: sparkKind,
  custom: {
    sparkConf: { "spark.driver.memory": "1g", "spark.executor.instances": "2", "spark.executor.cores": "1" },
    hadoopConf: { "fs.s3a.path.style.access": "true" },
    mainApplicationFile: "local:///opt/venv/bin/runtime.py",
    executorPath: "/opt/venv/bin/python",
    applicationType: "PYTHON",
    executorPod: {
      podSpec: {
        containers: [{ name: "primary", env: [{ name: "X", value: "$(Y)" }] }],
        nodeSelector: { disk: "ssd" },
      },
      primaryContainerName: "primary",
    },
  },
  says: {
    starting: status("SUBMITTED"),
    running: status("RUNNING"),
    succeeded: status("COMPLETED"),
    failed: status("FAILED", "driver container failed with ExitCode: 1"),
  },
  failure: { code: "ApplicationFailed", kind: "user" },
  pod: (job) => ({ name: `${job.metadata.name}-driver`, template: driver(job), labels: { "spark-role": "driver" } }),
});

function driver({ spec }: JobObject): Pick<Pod, "metadata" | "spec"> {
  return (spec.driver as { template: Pick<Pod, "metadata" | "spec"> }).template;
}
