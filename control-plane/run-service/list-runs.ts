/** ListRuns: a page of root actions, newest first unless the client sorts; a page costs the same however long the history. */
import { create } from "@bufbuild/protobuf";
import { type Run, RunSchema } from "@flyte-ts/contract/flyteidl2/workflow/run_definition_pb.ts";
import {
  type ListRunsRequest,
  type ListRunsResponse,
  ListRunsResponseSchema,
} from "@flyte-ts/contract/flyteidl2/workflow/run_service_pb.ts";
import { invalidArgument, type ListInput, type ListRules, parseListRequest, ROOT_ACTION } from "@flyte-ts/core";
import type { Database } from "@flyte-ts/platform/postgres";
import type { DescribeIdentity } from "../identity-service/index.ts";
import type { SqlColumn } from "../list-sql.ts";
import { readActions } from "../state-service/store.ts";
import { actionView } from "./action-view.ts";
import { withNumbers } from "./enum-filters.ts";
import { listRunIds, type RunScope, runFields, runTieBreak } from "./list-store.ts";
import type { RunCache } from "./run-cache.ts";

export interface ListDependencies {
  database: Database;
  runs: RunCache;
  identities: DescribeIdentity;
}

const rules: ListRules<SqlColumn> = {
  columns: runFields,
  defaultOrder: [{ field: "created_at", descending: true }],
  tieBreak: runTieBreak,
};

export async function listRuns(dependencies: ListDependencies, request: ListRunsRequest): Promise<ListRunsResponse> {
  const query = parseRunList(request.request);
  const page = await listRunIds(dependencies.database, listScope(request.scopeBy), request.pausedActionsOnly, query);
  const runs = await runViews(
    dependencies,
    page.rows.map(({ id }) => id),
  );
  return create(ListRunsResponseSchema, { runs, token: page.token });
}

export function parseRunList(request: ListInput | undefined) {
  return parseListRequest({ ...request, filters: withNumbers(request?.filters ?? []) }, rules);
}

/** The runs as lists show them, in the order of `ids`; what was deleted meanwhile is left out. */
export async function runViews(
  { database, runs, identities }: ListDependencies,
  ids: readonly bigint[],
): Promise<Run[]> {
  if (ids.length === 0) return [];
  const [known, rows] = await Promise.all([
    runs.byId(database, ids),
    readActions(
      database,
      ids.map((runId) => ({ runId, name: ROOT_ACTION })),
    ),
  ]);
  const roots = new Map(rows.map((row) => [row.runId, row]));
  return ids.flatMap((id) => {
    const run = known.get(id);
    const root = roots.get(id);
    if (!run || !root) return [];
    return [create(RunSchema, { action: actionView(run, root, identities), labels: run.labels })];
  });
}

function listScope(scope: ListRunsRequest["scopeBy"]): RunScope {
  switch (scope.case) {
    // There is one organization, which has no name of its own.
    case "org":
      return { kind: "all" };
    case "projectId":
      return { kind: "project", project: scope.value.name, domain: scope.value.domain };
    case "taskName": {
      const { project, domain, name } = scope.value;
      return { kind: "task", project, domain, name, version: "" };
    }
    case "taskId": {
      const { project, domain, name, version } = scope.value;
      return { kind: "task", project, domain, name, version };
    }
    // Nothing fires triggers yet, so no run comes from one.
    case "triggerName":
      return { kind: "none" };
    case undefined:
      throw invalidArgument("ListRuns needs a scope: org, project_id, task_name, task_id or trigger_name");
  }
}
