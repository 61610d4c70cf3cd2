/**
 * What the control plane sends: leases, aborts, and the word that everything the cluster holds has been sent.
 *
 * Promise: any message may come twice, late, or in the wrong order. A lease that was here and is over is answered
 * by `released` and never run again; an abort of an unknown attempt likewise. Local attempts that a fresh connection does
 * not name are not ours any more: they are ended without a report.
 */
import { create } from "@bufbuild/protobuf";
import {
  type AbortOrder,
  type AttemptReport,
  AttemptReportSchema,
  type ConnectResponse,
  type LeasedAction,
} from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";
import { lru, toDate } from "@flyte-ts/core";
import { type ActionStore, amend } from "./action-store.ts";
import { attemptKey } from "./attempt.ts";
import type { Log } from "./log.ts";

export interface IntakeOptions {
  store: ActionStore;
  log: Log;
  report(key: string, report: AttemptReport): void;
  wake(key: string): void;
  /** All held attempts are known now: others may be swept away. */
  onSynced(): void;
}

export interface Intake {
  /** Call it for each new connection. */
  begin(): Promise<void>;
  take(response: ConnectResponse): Promise<void>;
  /** The attempt is over and the control plane knows. */
  over(key: string, epoch: bigint): void;
}

/** Ended attempts remembered, so that a lease sent before their end and read after it is not run again. */
const REMEMBERED = 8192;

export function intake(options: IntakeOptions): Intake {
  const { store } = options;
  const ended = lru<string, bigint>(REMEMBERED);
  /** Held before this connection and not named by it yet; undefined once it is synced. */
  let unnamed: Set<string> | undefined = new Set();
  let early: AbortOrder[] = [];

  async function lease(leased: LeasedAction): Promise<void> {
    const key = attemptKey(leased.ref, leased.attempt);
    unnamed?.delete(key);
    const over = ended.get(key);
    if (over !== undefined && over >= leased.epoch) {
      options.report(key, goneReport(leased));
      return;
    }
    const record = await store.create({
      key,
      lease: leased,
      transitions: leased.startedAt ? [{ phase: "running", at: toDate(leased.startedAt) }] : [],
      details: {},
      released: false,
    });
    if (record.lease !== leased && record.lease.epoch < leased.epoch) {
      // The same attempt under a new lease: go on with it.
      await amend(store, key, (current) => ({ ...current, lease: leased }));
    }
    options.wake(key);
  }

  async function abort(order: AbortOrder): Promise<void> {
    const key = attemptKey(order.ref, order.attempt);
    const record = await amend(store, key, (current) =>
      current.ending || current.released
        ? undefined
        : { ...current, ending: { phase: "aborted", reason: order.reason } },
    );
    if (record) {
      options.wake(key);
      return;
    }
    if (unnamed) {
      // Its lease may still be on the way, and its work may be running since before a restart.
      early.push(order);
      return;
    }
    ended.set(key, order.epoch);
    options.report(key, goneReport(order));
  }

  async function synced(): Promise<void> {
    const orphans = unnamed ?? new Set<string>();
    unnamed = undefined;
    for (const key of orphans) {
      const record = await amend(store, key, (current) => ({
        ...current,
        released: false,
        ending: { phase: "dropped", reason: "the control plane does not lease it to this cluster any more" },
      }));
      if (!record) continue;
      options.log.warn({ attempt: key }, "a local attempt is not leased to this cluster any more and is ended");
      options.wake(key);
    }
    const orders = early;
    early = [];
    for (const order of orders) await abort(order);
    options.onSynced();
  }

  return {
    async begin() {
      unnamed = new Set((await store.list()).map((record) => record.key));
      early = [];
    },
    async take(response) {
      for (const leased of response.leased) await lease(leased);
      for (const order of response.aborts) await abort(order);
      if (response.synced) await synced();
    },
    over: (key, epoch) => ended.set(key, epoch),
  };
}

/** Nothing of this attempt is here. */
function goneReport(of: LeasedAction | AbortOrder): AttemptReport {
  const report = create(AttemptReportSchema, { epoch: of.epoch, attempt: of.attempt, released: true });
  if (of.ref) report.ref = of.ref;
  return report;
}
