/** Abort by the names of the wire. An abort is an intent that is stored; clusters clean up behind it. */
import type { ActionIdentifier } from "@flyte-ts/contract/flyteidl2/common/identifier_pb.ts";
import { failedPrecondition, invalidArgument, notFound } from "@flyte-ts/core";
import type { Database } from "@flyte-ts/platform/postgres";
import { type RunCache, runKey } from "../run-service/run-cache.ts";
import type { StateWriter } from "./state-writer.ts";
import type { ActionKey } from "./store.ts";

type WireId = Pick<ActionIdentifier, "name"> & { run?: ActionIdentifier["run"] };

export interface Aborts {
  /** Aborting what is over already is fine: the caller wanted it to end. */
  lenient(id: WireId | undefined, reason: string, by: string): Promise<void>;
  /** FAILED_PRECONDITION when the action is over already. */
  strict(id: WireId | undefined, reason: string, by: string): Promise<void>;
}

export const DEFAULT_REASON = "User requested abort";

export interface AbortsOptions {
  database: Database;
  runs: RunCache;
  writer: StateWriter;
}

export function aborts({ database, runs, writer }: AbortsOptions): Aborts {
  async function abort(id: WireId | undefined, reason: string, by: string): Promise<boolean> {
    const key = await actionKey(database, runs, id);
    const result = await writer.submit({ kind: "abort", key, reason: reason || DEFAULT_REASON, by });
    if (result === "not-found") throw notFound(`run ${id?.run?.name} has no action ${id?.name}`);
    return result === "applied";
  }
  return {
    async lenient(id, reason, by) {
      await abort(id, reason, by);
    },
    async strict(id, reason, by) {
      if (!(await abort(id, reason, by))) {
        throw failedPrecondition(`action ${id?.name} of run ${id?.run?.name} is over already`);
      }
    },
  };
}

/** The rows' key of an action on the wire; NOT_FOUND when its run does not exist. */
export async function actionKey(database: Database, runs: RunCache, id: WireId | undefined): Promise<ActionKey> {
  if (!id?.run || id.name === "") throw invalidArgument("the request names no action; give run and name");
  const run = (await runs.byName(database, [id.run])).get(runKey(id.run));
  if (!run) throw notFound(`run ${id.run.name} does not exist in ${id.run.project}/${id.run.domain}`);
  return { runId: run.id, name: id.name };
}
