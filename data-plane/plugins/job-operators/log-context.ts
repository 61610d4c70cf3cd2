/** Where the logs of a job are: all its pods with their containers. Pure. */
import { create } from "@bufbuild/protobuf";
import { type LogContext, LogContextSchema } from "@flyte-ts/contract/flyteidl2/core/execution_pb.ts";
import { logContext } from "../pod/logs.ts";
import type { Pod } from "../pod/objects.ts";
import { primaryContainer } from "./phase.ts";

/** `speaker`: the pod whose log is the task's, first of all. */
export function jobLogContext(pods: readonly Pod[], speaker: Pod | undefined): LogContext {
  const name = speaker?.metadata.name;
  const others = pods.filter(({ metadata }) => metadata.name !== name).sort((a, b) => order(a, b));
  return create(LogContextSchema, {
    primaryPodName: name ?? "",
    pods: [...(speaker ? [speaker] : []), ...others].flatMap((pod) => logContext(pod, primaryContainer(pod)).pods),
  });
}

/** Changes when a pod comes, goes, or one of its containers starts or ends. */
export function digestOf(pods: readonly Pod[]): string {
  const states = pods.map(({ metadata, status }) => {
    const containers = [...(status?.containerStatuses ?? []), ...(status?.initContainerStatuses ?? [])];
    const state = containers.map((one) => (one.state?.terminated ? "e" : one.state?.running ? "r" : "w"));
    return `${metadata.name}:${state.join("")}`;
  });
  let hash = 5381;
  for (const letter of states.sort().join(" ")) hash = (Math.imul(hash, 33) ^ letter.charCodeAt(0)) >>> 0;
  return pods.length === 0 ? "" : `${pods.length}-${hash.toString(36)}`;
}

function order(a: Pod, b: Pod): number {
  return a.metadata.name.localeCompare(b.metadata.name, "en", { numeric: true });
}
