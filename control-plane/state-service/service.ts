/** StateService: the older wire form of the watch, and of reading one action's state. Only executors write state. */
import { create } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import { type StateService, WatchResponseSchema } from "@flyte-ts/contract/flyteidl2/workflow/state_service_pb.ts";
import { invalidArgument, notFound, phaseName, unimplemented } from "@flyte-ts/core";
import type { Database } from "@flyte-ts/platform/postgres";
import type { RunCache } from "../run-service/run-cache.ts";
import { actionKey } from "./aborts.ts";
import { readActions } from "./store.ts";
import type { UpdateStreams } from "./update-stream.ts";

export interface StateServiceOptions {
  database: Database;
  runs: RunCache;
  updates: UpdateStreams;
}

export function stateService({ database, runs, updates }: StateServiceOptions): ServiceImpl<typeof StateService> {
  return {
    async put() {
      throw unimplemented("action state is written by executors through the cluster link; enqueue an action instead");
    },
    async get({ actionId }) {
      const key = await actionKey(database, runs, actionId);
      const [row] = await readActions(database, [key]);
      if (!row) throw notFound(`run ${actionId?.run?.name} has no action ${key.name}`);
      const state = JSON.stringify({ phase: phaseName(row.phase), attempts: row.attempts, outputUri: row.outputUri });
      return { ...(actionId && { actionId }), status: { code: 0 }, state };
    },
    async *watch({ filter }, context) {
      if (filter.case !== "parentActionId")
        throw invalidArgument("the watch names no parent action; give parent_action_id");
      for await (const message of updates.children(filter.value, context.signal)) {
        yield create(WatchResponseSchema, { message });
      }
    },
  };
}
