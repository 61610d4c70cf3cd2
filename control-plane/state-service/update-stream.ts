/** The stream a waiting parent reads, in the two wire forms that share their messages. */
import { create, fromBinary } from "@bufbuild/protobuf";
import type { ActionIdentifier } from "@flyte-ts/contract/flyteidl2/common/identifier_pb.ts";
import { type ExecutionError, ExecutionErrorSchema } from "@flyte-ts/contract/flyteidl2/core/execution_pb.ts";
import { type Literal, LiteralSchema } from "@flyte-ts/contract/flyteidl2/core/literals_pb.ts";
import { ActionType } from "@flyte-ts/contract/flyteidl2/workflow/run_definition_pb.ts";
import {
  type ActionUpdate,
  ActionUpdateSchema,
  type ControlMessage,
  ControlMessageSchema,
} from "@flyte-ts/contract/flyteidl2/workflow/state_service_pb.ts";
import { type ActionPhase, notFound } from "@flyte-ts/core";
import type { Database } from "@flyte-ts/platform/postgres";
import { type RunCache, runKey } from "../run-service/run-cache.ts";
import { childFeed } from "./action-feed.ts";
import type { ChangeBus } from "./bus.ts";
import type { ActionChange } from "./store.ts";

export type UpdateMessage =
  | { case: "actionUpdate"; value: ActionUpdate }
  | { case: "controlMessage"; value: ControlMessage };

export interface UpdateStreams {
  /** Updates of a parent's children: those that exist, a sentinel, then changes until `signal` is aborted. */
  children(parent: ActionIdentifier, signal: AbortSignal): AsyncGenerator<UpdateMessage>;
}

export interface UpdateStreamsOptions {
  database: Database;
  bus: ChangeBus;
  runs: RunCache;
}

export function updateStreams({ database, bus, runs }: UpdateStreamsOptions): UpdateStreams {
  return {
    async *children(parent, signal) {
      const run = parent.run && (await runs.byName(database, [parent.run])).get(runKey(parent.run));
      if (!run)
        throw notFound(`run ${parent.run?.name} does not exist in ${parent.run?.project}/${parent.run?.domain}`);
      for await (const message of childFeed({ sql: database, bus }, run.id, parent.name, signal)) {
        if (message.kind === "change") yield { case: "actionUpdate", value: update(parent, message.change) };
        else yield { case: "controlMessage", value: create(ControlMessageSchema, { sentinel: true }) };
      }
    },
  };
}

/** Where the current attempt of a task writes; clients want to know before there is anything. */
function attemptFolder({ kind, name, attempts, runOutputBase }: ActionChange): string {
  return kind === ActionType.TASK ? `${runOutputBase.replace(/\/$/, "")}/${name}/${attempts}` : "";
}

function update(parent: ActionIdentifier, change: ActionChange): ActionUpdate {
  const error: ExecutionError | undefined = change.error ? fromBinary(ExecutionErrorSchema, change.error) : undefined;
  const value: Literal | undefined = change.value ? fromBinary(LiteralSchema, change.value) : undefined;
  return create(ActionUpdateSchema, {
    // The caller's own run id: it may name an organization, which is no part of any key here.
    actionId: { ...(parent.run && { run: parent.run }), name: change.name },
    phase: change.phase as ActionPhase,
    outputUri: change.outputUri || attemptFolder(change),
    ...(error && { error }),
    ...(value && { value }),
  });
}
