/** ListActions: a page of one run's actions, oldest first unless the client sorts. */
import { create } from "@bufbuild/protobuf";
import {
  type ListActionsRequest,
  type ListActionsResponse,
  ListActionsResponseSchema,
} from "@flyte-ts/contract/flyteidl2/workflow/run_service_pb.ts";
import { type ListRules, parseListRequest } from "@flyte-ts/core";
import type { Database } from "@flyte-ts/platform/postgres";
import type { DescribeIdentity } from "../identity-service/index.ts";
import type { SqlColumn } from "../list-sql.ts";
import type { ActionReader } from "./action-reader.ts";
import { actionView } from "./action-view.ts";
import { withNumbers } from "./enum-filters.ts";
import { actionListFields, actionTieBreak, listActionRows } from "./list-store.ts";

export interface ListActionsDependencies {
  database: Database;
  reader: ActionReader;
  identities: DescribeIdentity;
}

const rules: ListRules<SqlColumn> = {
  columns: actionListFields,
  defaultOrder: [{ field: "created_at", descending: false }],
  tieBreak: actionTieBreak,
};

export async function listActions(
  { database, reader, identities }: ListActionsDependencies,
  { runId, request }: ListActionsRequest,
): Promise<ListActionsResponse> {
  const query = parseListRequest({ ...request, filters: withNumbers(request?.filters ?? []) }, rules);
  const run = await reader.run(runId);
  const page = await listActionRows(database, run.id, query);
  return create(ListActionsResponseSchema, {
    actions: page.rows.map((row) => actionView(run, row, identities)),
    token: page.token,
  });
}
