/** Watches the limits of time that the control plane keeps: queued timeouts, deadlines, conditions nobody signals. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Database } from "@flyte-ts/platform/postgres";
import type { ChangeBus } from "../state-service/bus.ts";
import type { StateWriter } from "../state-service/index.ts";
import { dueItems, nextTimes } from "./store.ts";

export interface ExpiryOptions {
  database: Database;
  bus: ChangeBus;
  writer: StateWriter;
  onError(error: unknown): void;
}

/** A limit set by another replica may come with a lost notification: look by oneself now and then. */
const RECHECK_MS = 10_000;
const RETRY_MS = 1000;
const BATCH = 200;

/** Runs until `signal` is aborted. */
export async function watchExpiry(
  { database, bus, writer, onError }: ExpiryOptions,
  signal: AbortSignal,
): Promise<void> {
  while (!signal.aborted) {
    // A new limit may be nearer than the one we sleep towards, so commits that touch the queue end the sleep.
    let touched = false;
    const unsubscribe = bus.onQueue(() => {
      touched = true;
    });
    let delay = RETRY_MS;
    try {
      const due = await dueItems(database, BATCH);
      await Promise.all(due.map((key) => writer.submit({ kind: "expire", key })));
      const { dueInMs } = await nextTimes(database);
      delay = Math.min(Math.max(dueInMs ?? RECHECK_MS, due.length > 0 ? 20 : 5), RECHECK_MS);
    } catch (error) {
      onError(error);
    }
    await nap(delay, () => touched, signal);
    unsubscribe();
  }
}

/** Sleeps, but looks again after a second when the queue was touched: short limits must not wait for a long sleep. */
async function nap(ms: number, touched: () => boolean, signal: AbortSignal): Promise<void> {
  const end = Date.now() + ms;
  while (!signal.aborted && Date.now() < end) {
    await sleep(Math.min(end - Date.now(), 1000), undefined, { signal }).catch(() => undefined);
    if (touched()) return;
  }
}
