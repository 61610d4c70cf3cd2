/** Tasks that know nothing of Flyte: each input is a file below one folder, each output is expected below another. */
import type { DataLoadingConfig, TaskTemplate } from "@flyte-ts/contract/flyteidl2/core/tasks_pb.ts";

/** Undefined for tasks that read and write their data by themselves. */
export function dataConfig(template: TaskTemplate | undefined): DataLoadingConfig | undefined {
  const target = template?.target;
  const config = target?.case === "container" || target?.case === "k8sPod" ? target.value.dataConfig : undefined;
  return config?.enabled ? config : undefined;
}
