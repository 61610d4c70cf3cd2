/**
 * `TaskService`: deployed task definitions. A version is immutable; deploying it again is `already_exists`, which clients
 * take for success, so that deployments can be repeated for ever.
 */

import { create, fromBinary } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import { type Filter, Filter_Function, FilterSchema } from "@flyte-ts/contract/flyteidl2/common/list_pb.ts";
import { type LatestRunSummary, TaskSpecSchema } from "@flyte-ts/contract/flyteidl2/task/task_definition_pb.ts";
import type {
  ListTasksRequest,
  ListTasksRequest_KnownFilter,
  TaskService,
} from "@flyte-ts/contract/flyteidl2/task/task_service_pb.ts";
import { alreadyExists, invalidArgument, notFound, parseListRequest, unimplemented } from "@flyte-ts/core";
import type { Database } from "@flyte-ts/platform/postgres";
import { type DescribeIdentity, describeIdentities, identityOf } from "../identity-service/index.ts";
import { type RequireProject, requireProject } from "../project-service/index.ts";
import { storeSpecs } from "./spec-store.ts";
import {
  countTasks,
  insertTask,
  listTasks,
  listVersions,
  readTask,
  type TaskScope,
  taskColumns,
  versionColumns,
} from "./store.ts";
import { deployedTask, type TaskKey, type TaskNameKey, taskKey, taskMessage, taskMetadata } from "./task.ts";

/** The last run of each of these tasks, by `taskNameKey`; names that never ran are absent. */
export type LatestRuns = (names: readonly TaskNameKey[]) => Promise<ReadonlyMap<string, LatestRunSummary>>;

export interface TaskServiceDependencies {
  database: Database;
  latestRuns?: LatestRuns;
  requireProject?: RequireProject;
  describeIdentity?: DescribeIdentity;
}

export function taskNameKey({ project, domain, name }: TaskNameKey): string {
  return JSON.stringify([project, domain, name]);
}

export function taskService(dependencies: TaskServiceDependencies): ServiceImpl<typeof TaskService> {
  const { database, latestRuns = async () => new Map(), describeIdentity = describeIdentities([]) } = dependencies;
  const mustHaveProject = dependencies.requireProject ?? requireProject;
  return {
    async deployTask({ taskId, spec, triggers }, context) {
      if (!taskId || !spec) throw invalidArgument("a deployment needs a task_id and a spec");
      if (triggers.length > 0) {
        throw unimplemented(
          `task ${taskId.name} has ${triggers.length} triggers, and this server has no trigger service; nothing was stored: deploy it without triggers`,
        );
      }
      const task = deployedTask(taskId, spec, identityOf(context).subject);
      await database.transaction(async (sql) => {
        await mustHaveProject(sql, taskId.project);
        await storeSpecs(sql, [{ digest: task.row.specDigest, spec: task.spec }]);
        if (!(await insertTask(sql, task.row))) {
          throw alreadyExists(
            `${describeTask(taskId)} is deployed already and versions do not change; deploy another version`,
          );
        }
      });
      return {};
    },

    async getTaskDetails({ taskId }) {
      if (!taskId) throw invalidArgument("the request has no task_id");
      const task = await readTask(database, taskKey(taskId));
      if (!task) throw notFound(`${describeTask(taskId)} not found; deploy it, or list the versions there are`);
      return {
        details: {
          taskId,
          metadata: taskMetadata(task, describeIdentity),
          spec: fromBinary(TaskSpecSchema, task.spec),
        },
      };
    },

    async listTasks({ request, scopeBy, knownFilters }) {
      const query = parseListRequest(
        { ...request, filters: [...(request?.filters ?? []), ...knownFilters.map(knownFilter)] },
        {
          columns: taskColumns,
          defaultOrder: [{ field: "created_at", descending: true }],
          tieBreak: (["name", "project", "domain"] as const).map((field) => ({
            field,
            column: { sql: `t.${field}`, type: "text", notNull: true },
          })),
        },
      );
      const scope = taskScope(scopeBy);
      const [page, metadata] = await Promise.all([
        listTasks(database, scope, query),
        countTasks(database, scope, query),
      ]);
      const runs = page.rows.length > 0 ? await latestRuns(page.rows) : new Map();
      return {
        tasks: page.rows.map((task) => taskMessage(task, describeIdentity, runs.get(taskNameKey(task)))),
        token: page.token,
        metadata,
      };
    },

    async listVersions({ request, taskName }) {
      if (!taskName) throw invalidArgument("the request has no task_name");
      const query = parseListRequest(request, {
        columns: versionColumns,
        defaultOrder: [{ field: "created_at", descending: true }],
        tieBreak: { field: "version", column: { sql: "t.version", type: "text", notNull: true } },
      });
      const page = await listVersions(database, taskName, query);
      return {
        versions: page.rows.map((task) => ({
          version: task.version,
          deployedAt: timestampFromDate(task.createdAt),
          deployedBy: describeIdentity(task.deployedBy),
        })),
        token: page.token,
      };
    },
  };
}

function describeTask({ project, domain, name, version }: TaskKey): string {
  return `task ${name} version ${version} in ${project}/${domain}`;
}

function taskScope(scope: ListTasksRequest["scopeBy"]): TaskScope {
  // The organization is no part of an address here: it means everything.
  if (scope.case !== "projectId") return { project: "", domain: "" };
  return { project: scope.value.name, domain: scope.value.domain };
}

function knownFilter({ filterBy }: ListTasksRequest_KnownFilter): Filter {
  const equal = (field: string, value: string) =>
    create(FilterSchema, { function: Filter_Function.EQUAL, field, values: [value] });
  switch (filterBy.case) {
    case "deployedBy":
      return equal("deployed_by", filterBy.value);
    case "isEntrypoint":
      return equal("is_entrypoint", String(filterBy.value));
    case undefined:
      throw invalidArgument("a known filter of this request is not known to this server; use filters");
  }
}
