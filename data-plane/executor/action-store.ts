/**
 * The action store port: the executor's copy of what is leased to its cluster. In memory on one machine; TaskAction
 * objects in etcd on Kubernetes, where it survives the executor.
 *
 * Promises of every adapter, held by `action-store-suite.ts`: records are immutable values, an update names the version it
 * was made from and is refused with {@link StaleRecordError} when another came first, lists see every create before them.
 */
import type { LeasedAction } from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";
import type { AttemptError, Transition } from "./attempt.ts";
import type { AttemptDetails, PluginState } from "./plugin.ts";

/** A stored intent to end an attempt. `dropped` ends it without a report: the lease is not ours any more. */
export type EndingIntent =
  | { phase: "aborted" | "dropped"; reason: string }
  | { phase: "timedOut" | "failed"; reason: string; error: AttemptError };

export interface ActionRecord {
  /** See `attemptKey`. */
  readonly key: string;
  readonly lease: LeasedAction;
  readonly pluginState?: PluginState;
  /** Every phase the attempt entered, in order. */
  readonly transitions: readonly Transition[];
  readonly details: AttemptDetails;
  readonly ending?: EndingIntent;
  /** Nothing runs any more; waits for the control plane to take the end. */
  readonly released: boolean;
  /** Opaque; changes with every write. */
  readonly version: string;
}

export type NewActionRecord = Omit<ActionRecord, "version">;

/** Somebody else wrote first: read again and decide anew. */
export class StaleRecordError extends Error {
  override readonly name = "StaleRecordError";
  constructor(key: string) {
    super(`attempt ${key} was changed meanwhile: read it again and repeat the change`);
  }
}

/** This attempt cannot be kept, however often it is tried: it fails for that reason. */
export class UnstorableError extends Error {
  override readonly name = "UnstorableError";
  readonly error: AttemptError;
  constructor(error: AttemptError, options?: ErrorOptions) {
    super(error.message, options);
    this.error = error;
  }
}

/** Whatever else than the errors above is thrown is trouble of the store: what was asked is repeated until it is over. */
export interface ActionStore {
  /**
   * Stores a new record; an existing one with this key is left as it is and returned. Throws {@link UnstorableError}.
   */
  create(record: NewActionRecord): Promise<ActionRecord>;
  get(key: string): Promise<ActionRecord | undefined>;
  /**
   * Replaces the version that `record` carries; throws {@link StaleRecordError} when that is not the stored one, and
   * {@link UnstorableError}. The end of an attempt may be stored later than this resolves: until the control plane has
   * it, its plugin can be asked again.
   */
  update(record: ActionRecord): Promise<ActionRecord>;
  /** Absent records count as deleted. */
  delete(key: string): Promise<void>;
  /** Waits until the store knows all that it holds. */
  list(): Promise<readonly ActionRecord[]>;
  /** Keys of records that were changed by others than this executor (a deletion by hand shows as an `ending`). */
  changes(signal: AbortSignal): AsyncIterable<string>;
  /** Long-lived parts of the store; lives as long as the executor. */
  run?(signal: AbortSignal): Promise<void>;
}

/** Reads, changes and writes until no one else was in between. `change` returns undefined to leave the record alone. */
export async function amend(
  store: ActionStore,
  key: string,
  change: (record: ActionRecord) => ActionRecord | undefined,
): Promise<ActionRecord | undefined> {
  for (;;) {
    const record = await store.get(key);
    const next = record && change(record);
    if (!next) return record;
    try {
      return await store.update(next);
    } catch (error) {
      if (!(error instanceof StaleRecordError)) throw error;
    }
  }
}
