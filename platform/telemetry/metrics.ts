/**
 * Metrics for Prometheus: a registry of our own, and the handler of `/metrics`.
 *
 * Promise: a metric exists from its creation, at zero, for every combination of labels named then; so a graph of errors
 * shows a flat line and not a gap before the first one.
 *
 *     const refused = metrics.counter({ name: "flyte_enqueue_refused_total", help: "…", labels: { reason: ["full", "rate"] } });
 *     refused.inc({ reason: "full" });
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";

export interface MetricOptions<L extends string> {
  name: string;
  help: string;
  /** Label names with the values that are known beforehand (none, if they are not). */
  labels?: Record<L, readonly string[]>;
}

export interface Metrics {
  readonly registry: Registry;
  counter<L extends string = never>(options: MetricOptions<L>): Counter<L>;
  gauge<L extends string = never>(options: MetricOptions<L> & { collect?: (gauge: Gauge<L>) => void }): Gauge<L>;
  histogram<L extends string = never>(options: MetricOptions<L> & { buckets?: readonly number[] }): Histogram<L>;
  /** Serves `GET /metrics`; for the `http` list of the RPC server. */
  handler(req: IncomingMessage, res: ServerResponse): Promise<boolean>;
}

/** Seconds, from a commit to a long call. */
const defaultBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10];

export function createMetrics(options: { processMetrics?: boolean } = {}): Metrics {
  const registry = new Registry();
  const registers = [registry];
  // a coarse event loop probe: the default one wakes an idle server a hundred times a second
  if (options.processMetrics !== false)
    collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: 100 });
  return {
    registry,
    counter({ name, help, labels }) {
      const counter = new Counter({ name, help, registers, labelNames: labelNames(labels) });
      for (const known of combinations(labels)) counter.inc(known, 0);
      return counter;
    },
    gauge({ name, help, labels, collect }) {
      const gauge = new Gauge({
        name,
        help,
        registers,
        labelNames: labelNames(labels),
        ...(collect && {
          collect() {
            collect(this);
          },
        }),
      });
      for (const known of combinations(labels)) gauge.set(known, 0);
      return gauge;
    },
    histogram({ name, help, labels, buckets = defaultBuckets }) {
      const histogram = new Histogram({ name, help, registers, labelNames: labelNames(labels), buckets: [...buckets] });
      for (const known of combinations(labels)) histogram.zero(known);
      return histogram;
    },
    async handler(req, res) {
      const path = req.url?.split("?", 1)[0];
      if (path !== "/metrics" || (req.method !== "GET" && req.method !== "HEAD")) return false;
      const body = await registry.metrics();
      res.writeHead(200, { "content-type": registry.contentType, "cache-control": "no-store" });
      res.end(body);
      return true;
    },
  };
}

function labelNames<L extends string>(labels: Record<L, readonly string[]> | undefined): L[] {
  return Object.keys(labels ?? {}) as L[];
}

/** Every combination of the known values; none as soon as one label's values are not known. */
function combinations<L extends string>(labels: Record<L, readonly string[]> | undefined): Record<L, string>[] {
  const names = labelNames(labels);
  if (names.length === 0 || labels === undefined) return [];
  let all = [{} as Record<L, string>];
  for (const name of names) all = all.flatMap((before) => labels[name].map((value) => ({ ...before, [name]: value })));
  return all;
}
