/** ActionsService: what a running task calls for its children: enqueue, watch, abort, signal. */
import { create } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  type ActionsService,
  EnqueueResponseSchema,
  WatchForUpdatesResponseSchema,
} from "@flyte-ts/contract/flyteidl2/actions/actions_service_pb.ts";
import { invalidArgument, unimplemented } from "@flyte-ts/core";
import type { ObjectStore } from "@flyte-ts/platform/object-store";
import type { Database } from "@flyte-ts/platform/postgres";
import { identityOf } from "../identity-service/index.ts";
import { type Enqueue, enqueueItem } from "../queue-service/index.ts";
import type { RunCache } from "../run-service/run-cache.ts";
import { type Aborts, actionKey, type Signals, type UpdateStreams } from "../state-service/index.ts";

export interface ActionsServiceOptions {
  database: Database;
  queue: Enqueue;
  runs: RunCache;
  aborts: Aborts;
  signals: Signals;
  updates: UpdateStreams;
  objects: ObjectStore;
}

const enqueued = create(EnqueueResponseSchema);

export function actionsService(options: ActionsServiceOptions): ServiceImpl<typeof ActionsService> {
  const { database, queue, runs, aborts, signals, updates, objects } = options;
  return {
    async enqueue({ action }) {
      if (!action) throw invalidArgument("the request holds no action");
      await queue.submit(await enqueueItem(action, objects));
      return enqueued;
    },
    async *watchForUpdates({ filter }, context) {
      if (filter.case !== "parentActionId")
        throw invalidArgument("the watch names no parent action; give parent_action_id");
      for await (const message of updates.children(filter.value, context.signal)) {
        yield create(WatchForUpdatesResponseSchema, { message });
      }
    },
    async update() {
      throw unimplemented("action state is written by executors through the cluster link");
    },
    async abort({ actionId, reason }, context) {
      await aborts.strict(actionId, reason ?? "", identityOf(context).subject);
      return {};
    },
    async signal({ actionId, value }, context) {
      if (!value) throw invalidArgument("the signal has no value");
      await signals.signal(await actionKey(database, runs, actionId), value, identityOf(context).subject);
      return {};
    },
  };
}
