/**
 * The one writer of action state. Reports, aborts, signals and passed limits are handed in one by one and committed in
 * groups: rows are locked in one order, pure decisions are made (core/attempt.ts), moves are written by compare-and-set,
 * and watchers hear of them after the commit. With an action's end everything live below it ends in the same commit.
 */
import type { AttemptReport } from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";
import { type Clock, type GroupCommit, groupCommit, type Outcome, systemClock } from "@flyte-ts/core";
import type { Database } from "@flyte-ts/platform/postgres";
import type { SpecCache } from "../queue-service/specs.ts";
import { mayBeOneItemsFault, retryingTransaction } from "../retrying-transaction.ts";
import { withCommit } from "../with-commit.ts";
import type { ChangeBus } from "./bus.ts";
import { commitIntents } from "./commit.ts";
import type { ActionKey } from "./store.ts";

export type Intent =
  | { kind: "report"; key: ActionKey; cluster: string; report: AttemptReport }
  | { kind: "abort"; key: ActionKey; reason: string; by: string }
  | { kind: "signal"; key: ActionKey; value: Uint8Array; by: string }
  | { kind: "expire"; key: ActionKey };

/** What became of an intent. */
export type IntentResult = "applied" | "stale" | "already-terminal" | "not-found" | "not-a-condition";

export interface StateWriter {
  submit(intent: Intent): Promise<IntentResult>;
  drained(): Promise<void>;
}

export interface StateWriterOptions {
  database: Database;
  bus: ChangeBus;
  specs: SpecCache;
  clock?: Clock;
  /** Most intents in one transaction. */
  batch?: number;
}

export function stateWriter({
  database,
  bus,
  specs,
  clock = systemClock,
  batch = 256,
}: StateWriterOptions): StateWriter {
  const commits: GroupCommit<Intent, IntentResult> = groupCommit({
    maxItems: batch,
    blames: mayBeOneItemsFault,
    async commit(intents): Promise<readonly Outcome<IntentResult>[]> {
      const done = await retryingTransaction(database, async (sql) => {
        const effects = await commitIntents({ sql, specs, now: clock.now() }, intents);
        const { work, retries, endings } = effects.hint;
        if (effects.changes.length > 0 || effects.reported.length > 0 || work || retries || endings) {
          withCommit(bus.notify(sql, effects.changes, effects.hint, effects.reported));
        }
        return effects;
      });
      bus.publish(done.changes, done.hint, done.reported);
      return done.results.map((value) => ({ ok: true, value }));
    },
  });
  return { submit: (intent) => commits.submit(intent), drained: () => commits.drained() };
}
