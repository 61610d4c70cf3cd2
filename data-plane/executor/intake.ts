/**
 * What the control plane sends: leases, aborts, and the word that everything the cluster holds has been sent.
 *
 * Promise: any message may come twice, late, or in the wrong order. A lease that was here and is over is answered
 * by `released` and never run again; an abort of an unknown attempt likewise. Local attempts that a fresh connection does
 * not name are not ours any more: they are ended without a report. What cannot be stored yet waits and holds up nothing
 * else; a lease that can never be stored fails.
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
import { reconciler } from "@flyte-ts/platform/work-queue";
import { type ActionStore, amend, UnstorableError } from "./action-store.ts";
import { type AttemptError, attemptKey, attemptPlaces } from "./attempt.ts";
import type { Log } from "./log.ts";
import { attemptReport } from "./report.ts";

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
  take(response: ConnectResponse): void;
  /** The attempt is over and the control plane knows. */
  over(key: string, epoch: bigint): void;
  /** Something was said of it that is not stored yet. */
  holds(key: string): boolean;
  /** Stores what was taken, until the signal aborts. */
  run(signal: AbortSignal): Promise<void>;
}

/** Ended attempts remembered, so that a lease sent before their end and read after it is not run again. */
const REMEMBERED = 8192;

/** What was said of one attempt and is not carried out yet. Never changed: what comes later replaces it. */
interface Arrival {
  lease?: LeasedAction;
  abort?: AbortOrder;
  /** It is not leased to us any more. */
  drop?: true;
}

export function intake(options: IntakeOptions): Intake {
  const { store, log } = options;
  const ended = lru<string, bigint>(REMEMBERED);
  /** Held before this connection and not named by it yet; undefined once it is synced. */
  let unnamed: Set<string> | undefined = new Set();
  let early: AbortOrder[] = [];
  const arrivals = new Map<string, Arrival>();
  const storing = reconciler({
    reconcile: carryOut,
    onError: (key, error, failures) =>
      log.warn({ attempt: key, failures, err: error }, "a word of the control plane could not be stored yet"),
    concurrency: 32,
    backoff: { firstMs: 50, maxMs: 5_000 },
  });

  function arrived(key: string, arrival: Arrival): void {
    arrivals.set(key, arrival);
    storing.add(key);
  }

  function over(key: string, epoch: bigint): void {
    const known = ended.get(key);
    if (known === undefined || known < epoch) ended.set(key, epoch);
  }

  function lease(leased: LeasedAction): void {
    const key = attemptKey(leased.ref, leased.attempt);
    unnamed?.delete(key);
    const endedIn = ended.get(key);
    if (endedIn !== undefined && endedIn >= leased.epoch) {
      options.report(key, goneReport(leased));
      return;
    }
    const earlier = arrivals.get(key);
    if (earlier?.lease && earlier.lease.epoch >= leased.epoch) return;
    const order = earlier?.abort;
    arrived(key, { lease: leased, ...(order && order.epoch >= leased.epoch && { abort: order }) });
  }

  async function carryOut(key: string): Promise<undefined> {
    const arrival = arrivals.get(key);
    if (!arrival) return;
    if (await act(key, arrival)) options.wake(key);
    if (arrivals.get(key) === arrival) arrivals.delete(key);
  }

  /** False: there is no such attempt here. */
  async function act(key: string, { lease: leased, abort: order, drop }: Arrival): Promise<boolean> {
    if (leased) {
      try {
        await keep(key, leased);
      } catch (error) {
        if (error instanceof UnstorableError) {
          over(key, leased.epoch);
          options.report(key, failedReport(leased, error.error));
          return false;
        }
        // Never stored, so nothing of it runs.
        if (!order || (await store.get(key))) throw error;
        gone(key, order);
        return false;
      }
    }
    if (drop) return dropped(key);
    if (!order) return true;
    const aborted = await amend(store, key, (current) =>
      current.ending || current.released
        ? undefined
        : { ...current, ending: { phase: "aborted", reason: order.reason } },
    );
    if (aborted) return true;
    // Its lease may still be on the way, and its work may be running since before a restart.
    if (unnamed) early.push(order);
    else gone(key, order);
    return false;
  }

  async function keep(key: string, leased: LeasedAction): Promise<void> {
    const record = await store.create({
      key,
      lease: leased,
      transitions: leased.startedAt ? [{ phase: "running", at: toDate(leased.startedAt) }] : [],
      details: {},
      released: false,
    });
    if (record.lease === leased || record.lease.epoch >= leased.epoch) return;
    // The same attempt under a new lease: go on with it.
    await amend(store, key, (current) => ({ ...current, lease: leased }));
  }

  async function dropped(key: string): Promise<boolean> {
    const record = await amend(store, key, (current) => ({
      ...current,
      released: false,
      ending: { phase: "dropped", reason: "the control plane does not lease it to this cluster any more" },
    }));
    if (record) log.warn({ attempt: key }, "a local attempt is not leased to this cluster any more and is ended");
    return record !== undefined;
  }

  function gone(key: string, order: AbortOrder): void {
    over(key, order.epoch);
    options.report(key, goneReport(order));
  }

  function abort(order: AbortOrder): void {
    const key = attemptKey(order.ref, order.attempt);
    arrived(key, { ...arrivals.get(key), abort: order });
  }

  function synced(): void {
    const orphans = unnamed ?? new Set<string>();
    unnamed = undefined;
    for (const key of orphans) arrived(key, { drop: true });
    const orders = early;
    early = [];
    for (const order of orders) abort(order);
    options.onSynced();
  }

  return {
    async begin() {
      const stored = (await store.list()).map((record) => record.key);
      unnamed = new Set([...stored, ...arrivals.keys()]);
      early = [];
    },
    take(response) {
      for (const leased of response.leased) lease(leased);
      for (const order of response.aborts) abort(order);
      if (response.synced) synced();
    },
    over,
    holds: (key) => arrivals.has(key),
    run: (signal) => storing.run(signal),
  };
}

/** Nothing of this attempt is here. */
function goneReport(of: LeasedAction | AbortOrder): AttemptReport {
  const report = create(AttemptReportSchema, { epoch: of.epoch, attempt: of.attempt, released: true });
  if (of.ref) report.ref = of.ref;
  return report;
}

function failedReport(lease: LeasedAction, error: AttemptError): AttemptReport {
  const transitions = [{ phase: "failed", at: new Date(), error }] as const;
  return attemptReport(lease, attemptPlaces(lease).attemptUri, { transitions, released: true });
}
