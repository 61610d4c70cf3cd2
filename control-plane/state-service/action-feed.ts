/**
 * The feed of one parent's children: a snapshot of those that exist, a sentinel, then changes for as long as the reader
 * stays. Changes that a slow reader has not taken yet are coalesced to the latest state of each action, so its memory is
 * bounded by the children and it never sees a gap, nor a state older than one it was given.
 */
import type { Sql } from "@flyte-ts/platform/postgres";
import type { ChangeBus } from "./bus.ts";
import { coalescer } from "./coalescer.ts";
import { type ActionChange, readChildren } from "./store.ts";

export type FeedMessage = { kind: "change"; change: ActionChange } | { kind: "sentinel" };

const PAGE = 1000;
/** Commits are published within this time; later, an older state of an action can not turn up any more. */
const SETTLE_MS = 10_000;

export async function* childFeed(
  { sql, bus }: { sql: Sql; bus: ChangeBus },
  runId: bigint,
  parent: string,
  signal: AbortSignal,
): AsyncGenerator<FeedMessage> {
  const pending = coalescer<string, ActionChange>({
    signal,
    max: PAGE,
    replaces: (change, waiting) => change.version > waiting.version,
  });
  const given = versionMemory();
  const unsubscribe = bus.onRun(runId, (changes) => {
    for (const change of changes) if (change.parent === parent) pending.put(change.name, change);
  });
  try {
    for (let after = ""; ; ) {
      const page = await readChildren(sql, runId, parent, after, PAGE);
      for (const change of page) {
        given.remember(change.name, change.version);
        yield { kind: "change", change };
      }
      const last = page.at(-1);
      if (page.length < PAGE || !last) break;
      after = last.name;
    }
    yield { kind: "sentinel" };
    for (let turn = await pending.next(); turn.kind === "batch"; turn = await pending.next()) {
      for (const [name, change] of turn.entries) {
        if (given.isNew(name, change.version)) yield { kind: "change", change };
      }
    }
  } finally {
    unsubscribe();
  }
}

/** Remembers versions given out for at least SETTLE_MS, in two generations, so that memory does not grow with history. */
function versionMemory() {
  let young = new Map<string, number>();
  let old = new Map<string, number>();
  let turned = Date.now();
  function remember(name: string, version: number): void {
    const now = Date.now();
    if (now - turned > SETTLE_MS) {
      old = young;
      young = new Map();
      turned = now;
    }
    young.set(name, version);
  }
  return {
    remember,
    isNew(name: string, version: number): boolean {
      const known = young.get(name) ?? old.get(name);
      if (known !== undefined && known >= version) return false;
      remember(name, version);
      return true;
    },
  };
}
