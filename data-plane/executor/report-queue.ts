/**
 * Hands reports to the control plane: one call at a time, and what is pushed meanwhile forms the next one (group commit).
 *
 * Promise: every report is delivered at least once and in the order of its attempt, however long the control plane or
 * its database is away. Reports of one attempt that wait are merged, so memory is bounded by the number of attempts.
 * After a failed call smaller calls follow, and those that failed queue up behind the others: one report that cannot
 * be taken never holds up the rest.
 */
import { create } from "@bufbuild/protobuf";
import {
  type AttemptReport,
  ReportRequestSchema,
  ReportVerdict,
} from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";
import type { ControlLink } from "./control-link.ts";
import { pause } from "./pause.ts";
import { mergeReports } from "./report.ts";

export interface ReportQueueOptions {
  cluster: string;
  link: Pick<ControlLink, "report">;
  /** Called once for each report that was answered; must not throw. */
  onVerdict(key: string, report: AttemptReport, verdict: "accepted" | "stale"): void;
  onError(error: unknown, waiting: number): void;
  /** Most reports in one call. */
  maxReports?: number;
  backoff?: { firstMs: number; maxMs: number };
}

export interface ReportQueue {
  push(key: string, report: AttemptReport): void;
  /** Forgets what waits for a key; a call in progress is not taken back. */
  drop(key: string): void;
  /** Attempts with something to report. */
  readonly waiting: number;
  /** Reports until the signal aborts, then once more what is left, without insisting. */
  run(signal: AbortSignal): Promise<void>;
}

export function reportQueue(options: ReportQueueOptions): ReportQueue {
  const most = options.maxReports ?? 500;
  const backoff = options.backoff ?? { firstMs: 50, maxMs: 5_000 };
  const waiting = new Map<string, AttemptReport>();
  let arrived: (() => void) | undefined;
  let size = most;
  let failures = 0;

  async function send(): Promise<boolean> {
    const batch: [string, AttemptReport][] = [];
    for (const entry of waiting) {
      if (batch.length >= size) break;
      batch.push(entry);
    }
    for (const [key] of batch) waiting.delete(key);
    try {
      const request = create(ReportRequestSchema, {
        cluster: options.cluster,
        reports: batch.map(([, report]) => report),
      });
      const response = await options.link.report(request);
      if (response.verdicts.length !== batch.length) {
        throw new Error(`the control plane gave ${response.verdicts.length} verdicts on ${batch.length} reports`);
      }
      batch.forEach(([key, report], index) => {
        const stale = response.verdicts[index] === ReportVerdict.STALE;
        options.onVerdict(key, report, stale ? "stale" : "accepted");
      });
      failures = 0;
      size = Math.min(most, size * 2);
      return true;
    } catch (error) {
      for (const [key, report] of batch) {
        const newer = waiting.get(key);
        waiting.delete(key);
        waiting.set(key, newer ? mergeReports(report, newer) : report);
      }
      failures += 1;
      size = Math.max(1, size >> 1);
      options.onError(error, waiting.size);
      return false;
    }
  }

  return {
    push(key, report) {
      const earlier = waiting.get(key);
      waiting.set(key, earlier ? mergeReports(earlier, report) : report);
      arrived?.();
    },
    drop: (key) => void waiting.delete(key),
    get waiting() {
      return waiting.size;
    },
    async run(signal) {
      signal.addEventListener("abort", () => arrived?.(), { once: true });
      while (!signal.aborted) {
        if (waiting.size === 0) {
          await new Promise<void>((resolve) => (arrived = resolve));
          arrived = undefined;
          // What the same turn of the event loop produces joins this call.
          await new Promise((resolve) => setImmediate(resolve));
          continue;
        }
        if (!(await send())) await pause(Math.min(backoff.firstMs * 2 ** (failures - 1), backoff.maxMs), signal);
      }
      while (waiting.size > 0 && (await send()));
    },
  };
}
