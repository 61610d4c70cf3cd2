/** What the control plane needs to know of a task, read once from its TaskSpec: retries, limits of time, cache, needs. */

import type { TaskSpec } from "@flyte-ts/contract/flyteidl2/task/task_definition_pb.ts";
import type { RetryPolicy } from "./retry.ts";
import { type TaskNeeds, taskNeeds } from "./task-needs.ts";
import { toMs } from "./time.ts";

export interface TaskPolicy {
  taskType: string;
  shortName: string;
  environmentName: string;
  retry: RetryPolicy;
  /** From being queued to RUNNING, at most; milliseconds, 0 for no limit. Counted anew for each attempt. */
  queuedTimeoutMs: number;
  /** Over all attempts, from the first enqueue; milliseconds, 0 for no limit. */
  deadlineMs: number;
  cache?: { serialize: boolean; maxAgeMs: number; version: string; ignoredInputs: readonly string[] };
  /** Slots of a cluster that the action takes while it works. */
  slots: number;
  needs: TaskNeeds;
}

/** Task types that the backend runs without a process or pod. */
const slotless: ReadonlySet<string> = new Set(["core-sleep"]);

export function taskPolicy(spec: TaskSpec, systemRetries: number): TaskPolicy {
  const template = spec.taskTemplate;
  const metadata = template?.metadata;
  const backoff = metadata?.retries?.backoff;
  const taskType = template?.type ?? "";
  return {
    taskType,
    shortName: spec.shortName,
    environmentName: spec.environment?.name ?? "",
    retry: {
      retries: metadata?.retries?.retries ?? 0,
      systemRetries,
      ...(backoff && {
        backoff: {
          baseMs: toMs(backoff.base),
          factor: backoff.factor ?? 1,
          ...(backoff.cap && { capMs: toMs(backoff.cap) }),
        },
      }),
    },
    queuedTimeoutMs: toMs(metadata?.timeouts?.queuedTimeout),
    deadlineMs: toMs(metadata?.timeouts?.deadline),
    ...(metadata?.discoverable && {
      cache: {
        serialize: metadata.cacheSerializable,
        maxAgeMs: toMs(metadata.cacheMaxAge),
        version: metadata.discoveryVersion,
        ignoredInputs: metadata.cacheIgnoreInputVars,
      },
    }),
    slots: slotless.has(taskType) ? 0 : 1,
    needs: taskNeeds(spec),
  };
}
