/** From decided actions to the statement that moves them, and to what they are after it. */
import type { Sql } from "@flyte-ts/platform/postgres";
import { withCommit } from "../with-commit.ts";
import type { Working } from "./decide.ts";
import { type ActionChange, type ActionMove, moveActions } from "./store.ts";

/** Sends the moves without waiting for them. */
export function writeMoves(sql: Sql, moved: readonly Pick<Working, "action" | "move">[]): ActionChange[] {
  if (moved.length === 0) return [];
  const moves = moved.map(({ action, move }): ActionMove => {
    const { runId, name, version, attempts, userFailures, systemFailures, phase } = action;
    const { outputUri, error, value, cacheStatus, startedAt } = action;
    const now = { runId, name, version, attempts, userFailures, systemFailures, phase };
    const kept = { outputUri, error, value, cacheStatus, startedAt };
    return { ...now, ...kept, signalledBy: "", abortReason: null, abortedBy: "", endedAt: null, ...move };
  });
  withCommit(moveActions(sql, moves));
  return moved.map(({ action, move }): ActionChange => {
    const { runId, name, parent, kind, runOutputBase, version } = action;
    const { phase, attempts, outputUri, error, value } = { ...action, ...move };
    return { runId, name, parent, kind, phase, version: version + 1, attempts, runOutputBase, outputUri, error, value };
  });
}
