/** What the placeholders of an attempt's command line stand for. Pure. */
import type { LeasedAction } from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";
import { toDate } from "@flyte-ts/core";
import type { AttemptPlaces } from "../executor/index.ts";
import type { TemplateValues } from "./templates.ts";

/** `namespace`: where the attempt runs, in the words of its cluster. */
export function templateValues(
  lease: LeasedAction,
  places: AttemptPlaces,
  namespace = `${lease.ref?.project}-${lease.ref?.domain}`,
): TemplateValues {
  const ref = lease.ref;
  return {
    input: places.inputUri,
    inputPrefix: places.inputUri.replace(/\/[^/]*$/, ""),
    outputPrefix: places.attemptUri,
    rawOutputDataPrefix: places.rawDataPrefix,
    checkpointOutputPrefix: places.checkpointUri,
    prevCheckpointPrefix: places.previousCheckpointUri,
    perRetryUniqueKey: `${ref?.run}-${ref?.name}-${lease.attempt}`,
    taskTemplatePath: `${places.attemptUri}/task.pb`,
    namespace,
    runName: ref?.run ?? "",
    actionName: ref?.name ?? "",
    runStartTime: (lease.runStartTime ? toDate(lease.runStartTime) : new Date(0)).toISOString(),
  };
}
