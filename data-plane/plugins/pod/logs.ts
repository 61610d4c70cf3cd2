/** Where the logs of a pod are: its containers with their times, and links into other systems. Pure. */
import { create } from "@bufbuild/protobuf";
import {
  type ContainerContext,
  ContainerContextSchema,
  type LogContext,
  LogContextSchema,
  type TaskLog,
  TaskLogSchema,
} from "@flyte-ts/contract/flyteidl2/core/execution_pb.ts";
import type { TaskTemplate } from "@flyte-ts/contract/flyteidl2/core/tasks_pb.ts";
import type { LeasedAction } from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";
import { toTimestamp } from "@flyte-ts/core";
import type { PodConfig } from "./config.ts";
import type { ContainerStatus, Pod } from "./objects.ts";
import { dateOf } from "./times.ts";

export function logContext(pod: Pod, primary: string): LogContext {
  const { containerStatuses = [], initContainerStatuses = [] } = pod.status ?? {};
  return create(LogContextSchema, {
    primaryPodName: pod.metadata.name,
    pods: [
      {
        namespace: pod.metadata.namespace ?? "",
        podName: pod.metadata.name,
        primaryContainerName: primary,
        containers: pod.spec.containers.map(({ name }) => containerContext(name, containerStatuses)),
        initContainers: (pod.spec.initContainers ?? []).map(({ name }) =>
          containerContext(name, initContainerStatuses),
        ),
      },
    ],
  });
}

function containerContext(containerName: string, statuses: readonly ContainerStatus[]): ContainerContext {
  const { start, end } = timesOf(statuses.find(({ name }) => name === containerName));
  return create(ContainerContextSchema, {
    containerName,
    ...(start
      ? { process: { containerStartTime: toTimestamp(start), ...(end ? { containerEndTime: toTimestamp(end) } : {}) } }
      : {}),
  });
}

function timesOf(status: ContainerStatus | undefined): { start: Date | undefined; end: Date | undefined } {
  const { running, terminated } = status?.state ?? {};
  return { start: dateOf(running?.startedAt ?? terminated?.startedAt), end: dateOf(terminated?.finishedAt) };
}

export interface LinkParts {
  pod: Pod;
  primary: string;
  lease: LeasedAction;
  template: TaskTemplate | undefined;
  links: PodConfig["logLinks"];
}

/** The task's own links first, then the cluster's; one that names what is not known (yet) is left out. */
export function logLinks(parts: LinkParts): TaskLog[] {
  const values = linkValues(parts);
  const status = parts.pod.status?.containerStatuses?.find(({ name }) => name === parts.primary);
  const started = timesOf(status).start !== undefined;
  const ready = (showWhilePending: boolean) => showWhilePending || started;
  const own = (parts.template?.metadata?.logLinks ?? []).map((link) => ({
    ...link,
    ready: ready(link.ShowWhilePending),
  }));
  const shared = parts.links.flatMap(({ name, uris, showWhilePending, hideOnceFinished }) =>
    uris.map((uri) => ({
      uri,
      name,
      ShowWhilePending: showWhilePending,
      HideOnceFinished: hideOnceFinished,
      ready: ready(showWhilePending),
    })),
  );
  return [...own, ...shared].flatMap((link) => {
    const uri = rendered(link.uri, values);
    const name = rendered(link.name, values);
    return uri === undefined || name === undefined ? [] : [create(TaskLogSchema, { ...link, uri, name })];
  });
}

const PLACEHOLDER = /\{\{\s*[.$]([\w.$]+)\s*\}\}/g;

function rendered(text: string, values: ReadonlyMap<string, string>): string | undefined {
  let complete = true;
  const result = text.replace(PLACEHOLDER, (_, name: string) => {
    const value = values.get(name.toLowerCase().replaceAll("$", "."));
    if (value === undefined || value === "") complete = false;
    return value ?? "";
  });
  return complete ? result : undefined;
}

/** Names in small letters: they are matched in any case. */
function linkValues({ pod, primary, lease, template }: LinkParts): Map<string, string> {
  const ref = lease.ref;
  const id = template?.id;
  const status = pod.status?.containerStatuses?.find(({ name }) => name === primary);
  const { start, end } = timesOf(status);
  const values: Record<string, string | undefined> = {
    logName: primary,
    podName: pod.metadata.name,
    podUID: pod.metadata.uid,
    namespace: pod.metadata.namespace,
    containerName: primary,
    // Log collectors know the id without the runtime's prefix.
    containerID: status?.containerID?.replace(/^.*:\/\//, ""),
    hostname: pod.spec.hostname ?? pod.metadata.name,
    nodeName: pod.spec.nodeName,
    podRFC3339StartTime: text(start),
    podRFC3339FinishTime: text(end),
    podUnixStartTime: seconds(start),
    podUnixFinishTime: seconds(end),
    taskID: id?.name,
    taskVersion: id?.version,
    taskProject: id?.project,
    taskDomain: id?.domain,
    taskRetryAttempt: String(lease.attempt - 1),
    nodeID: ref?.name,
    generatedName: pod.metadata.name,
    executionName: ref?.run,
    executionProject: ref?.project,
    executionDomain: ref?.domain,
    runName: ref?.run,
    actionName: ref?.name,
  };
  const config = Object.entries(template?.config ?? {}).map(([name, value]) => [`taskConfig.${name}`, value] as const);
  return new Map(
    [...Object.entries(values), ...config].flatMap(([name, value]) =>
      value === undefined ? [] : [[name.toLowerCase(), value]],
    ),
  );
}

function text(date: Date | undefined): string | undefined {
  return date?.toISOString().replace(/\.\d+Z$/, "Z");
}

function seconds(date: Date | undefined): string | undefined {
  return date && String(Math.floor(date.getTime() / 1000));
}
