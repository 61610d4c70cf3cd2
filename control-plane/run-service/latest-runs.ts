/** The newest run of each of some tasks, for lists of tasks. */
import { create } from "@bufbuild/protobuf";
import { RunIdentifierSchema } from "@flyte-ts/contract/flyteidl2/common/identifier_pb.ts";
import { type LatestRunSummary, LatestRunSummarySchema } from "@flyte-ts/contract/flyteidl2/task/task_definition_pb.ts";
import { type ActionPhase, ROOT_ACTION, toTimestamp } from "@flyte-ts/core";
import type { Database } from "@flyte-ts/platform/postgres";
import { type LatestRuns, taskNameKey } from "../task-service/index.ts";

interface LatestRow {
  taskProject: string;
  taskDomain: string;
  taskName: string;
  project: string;
  domain: string;
  name: string;
  phase: number;
  createdAt: Date;
}

export function latestRuns(database: Database): LatestRuns {
  return async (names) => {
    const { rows } = await database.query<LatestRow>({
      name: "latest-runs",
      text: `select n.project as "taskProject", n.domain as "taskDomain", n.name as "taskName", r.project, r.domain, r.name,
          a.phase, a.created_at as "createdAt"
        from unnest($1::text[], $2::text[], $3::text[]) n (project, domain, name)
        cross join lateral (
          select run_id, phase, created_at from actions
          where name = '${ROOT_ACTION}' and task_project = n.project and task_domain = n.domain and task_name = n.name
          order by run_id desc limit 1) a
        join runs r on r.id = a.run_id`,
      values: [names.map((n) => n.project), names.map((n) => n.domain), names.map((n) => n.name)],
    });
    return new Map(
      rows.map((row) => [
        taskNameKey({ project: row.taskProject, domain: row.taskDomain, name: row.taskName }),
        summary(row),
      ]),
    );
  };
}

function summary({ project, domain, name, createdAt, phase, taskName }: LatestRow): LatestRunSummary {
  return create(LatestRunSummarySchema, {
    runId: create(RunIdentifierSchema, { project, domain, name }),
    runTime: toTimestamp(createdAt),
    phase: phase as ActionPhase,
    rootTaskName: taskName,
  });
}
