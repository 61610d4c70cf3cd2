/** What measurements of all kinds share: callers side by side, times in order, what a process uses. */
import type { Figures } from "./scenario.ts";
import type { Wire } from "./wire.ts";

export async function together(callers: number, work: () => Promise<void>): Promise<void> {
  await Promise.all(Array.from({ length: callers }, work));
}

export interface Usage {
  cpu: number;
  rssMb: number;
}

/** Of the process that answers, in its own words. */
export async function usage(of: Pick<Wire, "metrics">): Promise<Usage> {
  const metrics = await of.metrics();
  return {
    cpu: metrics.get("process_cpu_seconds_total") ?? Number.NaN,
    rssMb: (metrics.get("process_resident_memory_bytes") ?? Number.NaN) / (1 << 20),
  };
}

/** Asks once a second until it is stopped; gives the highest RSS seen. */
export function watchRss(of: Pick<Wire, "metrics">): { stop(): Promise<number> } {
  let peak = 0;
  let failed: unknown;
  let asking = Promise.resolve();
  const look = () => {
    asking = usage(of).then(
      ({ rssMb }) => {
        peak = Math.max(peak, rssMb);
      },
      (error: unknown) => {
        failed = error;
      },
    );
  };
  const timer = setInterval(look, 1000);
  return {
    async stop() {
      clearInterval(timer);
      await asking;
      look();
      await asking;
      if (failed) throw failed;
      return peak;
    },
  };
}

export function percentile(times: readonly number[], p: number): number {
  const sorted = times.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * p))] ?? Number.NaN;
}

export function percentiles(times: readonly number[], name: string): Figures {
  return {
    [`${name} p50`]: percentile(times, 0.5),
    [`${name} p99`]: percentile(times, 0.99),
    [`${name} max`]: percentile(times, 1),
  };
}
