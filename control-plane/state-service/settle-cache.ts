/** What the end of actions means for the cache: results are kept, and those who waited for one get it, or the turn to compute it. */
import { CatalogCacheStatus } from "@flyte-ts/contract/flyteidl2/core/catalog_pb.ts";
import { ActionPhase } from "@flyte-ts/core";
import type { Sql } from "@flyte-ts/platform/postgres";
import { type CacheEntry, lockKeys, putEntries } from "../cache-service/index.ts";
import {
  deleteItems,
  ItemState,
  type LockedItem,
  lockCacheWaiters,
  promoteCacheWaiters,
} from "../queue-service/store.ts";
import type { Working } from "./decide.ts";
import { type ActionChange, lockActions } from "./store.ts";
import { writeMoves } from "./write-moves.ts";

/**
 * `ended` decided to end and `below` end with them; both are in their last state in the queue already. Gives the waiters
 * that became hits, and whether somebody's turn has come.
 */
export async function settleCache(
  sql: Sql,
  ended: readonly Working[],
  below: readonly LockedItem[],
  now: Date,
): Promise<{ hits: ActionChange[]; freed: boolean }> {
  const lines = heldLines([...ended.flatMap(({ item }) => item ?? []), ...below]);
  // Before anything is read or written: who is just being put in line must be seen by us, or must see what we did.
  if (lines.length > 0) await lockKeys(sql, lines);
  const entries = newEntries(ended);
  if (entries.length > 0) await putEntries(sql, entries);
  if (lines.length === 0) return { hits: [], freed: false };
  const hits = await answerWaiters(sql, await lockCacheWaiters(sql, lines), entries, now);
  return { hits, freed: (await promoteCacheWaiters(sql, lines)) > 0 };
}

/** Keys of the entries that were being computed and whose line now moves on. */
function heldLines(items: readonly LockedItem[]): string[] {
  const held = items.filter(({ state }) => state === ItemState.pending || state === ItemState.leased);
  return [...new Set(held.flatMap(({ cacheKey }) => cacheKey ?? []))];
}

function newEntries(ended: readonly Working[]): CacheEntry[] {
  return ended.flatMap(({ action, move }) => {
    if (action.cacheKey === "" || move?.phase !== ActionPhase.SUCCEEDED || !move.outputUri) return [];
    return {
      key: action.cacheKey,
      outputUri: move.outputUri,
      sourceRun: action.runId,
      sourceAction: action.name,
      sourceAttempt: action.attempts,
    };
  });
}

async function answerWaiters(
  sql: Sql,
  waiters: readonly LockedItem[],
  entries: readonly CacheEntry[],
  now: Date,
): Promise<ActionChange[]> {
  const found = new Map(entries.map(({ key, outputUri }) => [key, outputUri]));
  const answered = waiters.filter(({ cacheKey }) => cacheKey !== null && found.has(cacheKey));
  if (answered.length === 0) return [];
  const moved = (await lockActions(sql, answered)).map((action) => ({
    action,
    move: {
      phase: ActionPhase.SUCCEEDED,
      outputUri: found.get(action.cacheKey) ?? "",
      cacheStatus: CatalogCacheStatus.CACHE_HIT,
      endedAt: now,
    },
  }));
  const hits = writeMoves(sql, moved);
  await deleteItems(sql, answered);
  return hits;
}
