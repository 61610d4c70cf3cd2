/**
 * A deployed task: a version of a named function, immutable once stored. Its specification is kept whole in `task_specs`
 * by digest, shared with the actions that run it; the columns beside it are for lists.
 */

import { clone, create, toBinary } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import {
  type LatestRunSummary,
  type Task,
  type TaskIdentifier,
  type TaskMetadata,
  TaskMetadataSchema,
  TaskSchema,
  type TaskSpec,
  TaskSpecSchema,
} from "@flyte-ts/contract/flyteidl2/task/task_definition_pb.ts";
import { invalidArgument } from "@flyte-ts/core";
import type { DescribeIdentity } from "../identity-service/index.ts";
import { specDigest } from "./spec-digest.ts";

export interface TaskNameKey {
  project: string;
  domain: string;
  name: string;
}

export interface TaskKey extends TaskNameKey {
  version: string;
}

/** The columns of a task without its time, which the database sets. */
export interface TaskRow extends TaskKey {
  specDigest: Uint8Array;
  shortName: string;
  environmentName: string;
  shortDescription: string;
  isEntrypoint: boolean;
  deployedBy: string;
}

export type StoredTask = Omit<TaskRow, "specDigest"> & { createdAt: Date };

/** Longer descriptions are cut, not refused: a long docstring must not stop a deployment. */
const LIMITS = { environment: 255, short: 255, long: 2048 };

/** What a deployment stores. */
export function deployedTask(
  taskId: TaskIdentifier,
  received: TaskSpec,
  deployedBy: string,
): { row: TaskRow; spec: Uint8Array } {
  const spec = withinLimits(received);
  const key = taskKey(taskId);
  const texts = [
    ...Object.values(key),
    spec.shortName,
    spec.environment?.name ?? "",
    spec.documentation?.shortDescription ?? "",
  ];
  if (texts.some((text) => text.includes("\0"))) {
    throw invalidArgument(`task ${JSON.stringify(key.name)}: a name or description holds a NUL character`);
  }
  const bytes = toBinary(TaskSpecSchema, spec);
  return {
    row: {
      ...key,
      specDigest: specDigest(bytes),
      shortName: spec.shortName || key.name.slice(key.name.lastIndexOf(".") + 1),
      environmentName: spec.environment?.name ?? "",
      shortDescription: spec.documentation?.shortDescription ?? "",
      isEntrypoint: spec.taskTemplate?.metadata?.isEntrypoint ?? false,
      deployedBy,
    },
    spec: bytes,
  };
}

export function taskKey({ project, domain, name, version }: TaskKey): TaskKey {
  return { project, domain, name, version };
}

export function taskMetadata(task: StoredTask, describe: DescribeIdentity): TaskMetadata {
  return create(TaskMetadataSchema, {
    deployedBy: describe(task.deployedBy),
    shortName: task.shortName,
    deployedAt: timestampFromDate(task.createdAt),
    environmentName: task.environmentName,
    shortDescription: task.shortDescription,
  });
}

export function taskMessage(
  task: StoredTask,
  describe: DescribeIdentity,
  latestRun: LatestRunSummary | undefined,
): Task {
  return create(TaskSchema, {
    taskId: taskKey(task),
    metadata: taskMetadata(task, describe),
    ...(latestRun ? { taskSummary: { latestRun } } : {}),
  });
}

function withinLimits(received: TaskSpec): TaskSpec {
  const spec = clone(TaskSpecSchema, received);
  if (spec.environment) spec.environment.description = cut(spec.environment.description, LIMITS.environment);
  if (spec.documentation) {
    spec.documentation.shortDescription = cut(spec.documentation.shortDescription, LIMITS.short);
    spec.documentation.longDescription = cut(spec.documentation.longDescription, LIMITS.long);
  }
  return spec;
}

/** Counts characters, not UTF-16 units, so a pair is never torn. */
function cut(text: string, limit: number): string {
  return text.length <= limit ? text : [...text].slice(0, limit).join("");
}
