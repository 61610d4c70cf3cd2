/** Spark tasks: a driver that runs the task and makes its executors' pods by itself. */
import type { Pod } from "../../pod/objects.ts";
import type { JobKind } from "../kind.ts";
import { inRole } from "../status.ts";
import { buildSparkApplication, DRIVER } from "./build.ts";
import { observeSparkApplication } from "./phase.ts";

export const sparkKind: JobKind = {
  taskTypes: ["spark"],
  resource: { group: "sparkoperator.k8s.io", version: "v1beta2", plural: "sparkapplications" },
  kind: "SparkApplication",
  operator: "the Spark operator",
  // The service of the driver's page is called `NAME-ui-svc`.
  maxName: 52,
  driven: true,
  build: buildSparkApplication,
  observe: observeSparkApplication,
  primary: (pods: readonly Pod[]) => inRole(pods, DRIVER)[0],
};
