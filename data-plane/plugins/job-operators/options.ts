/** What the plugin of jobs is made of. */
import type { Log } from "../../executor/index.ts";
import type { PartsOptions } from "../pod/parts.ts";
import type { PodLogs } from "../pod/pods.ts";
import type { JobConfig } from "./config.ts";
import type { Jobs } from "./jobs.ts";
import type { JobKind } from "./kind.ts";

/** `config` is the pods' configuration; the rest as the pod plugin has it. */
export interface JobOptions extends PartsOptions {
  kinds: readonly JobKind[];
  jobs: Jobs;
  jobConfig: JobConfig;
  log: Log;
  logs?: PodLogs;
}
