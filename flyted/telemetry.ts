/** The server's metrics and traces, joined for its parts. */
import { phaseName } from "@flyte-ts/core";
import { type HttpHandler, type RpcMetrics, rpcMetrics } from "@flyte-ts/platform/rpc";
import { createMetrics, createTracing, type Metrics, type Tracer } from "@flyte-ts/platform/telemetry";

export interface ServerTelemetry {
  /** For a part that has metrics of its own. */
  metrics: Metrics;
  tracer: Tracer;
  rpc: RpcMetrics;
  /** An action came into a phase. */
  phase(phase: number): void;
  /** What the database says of itself; benchmarks print it. */
  database(info: { version: string; fsync: string; synchronousCommit: string; embedded: boolean }): void;
  http: HttpHandler;
  shutdown(): Promise<void>;
}

export function serverTelemetry({ otlpEndpoint }: { otlpEndpoint?: string | undefined }): ServerTelemetry {
  const metrics = createMetrics();
  const tracing = createTracing({ otlpEndpoint, serviceName: "flyte-ts" });
  const phases = metrics.counter<"phase">({
    name: "flyte_action_phases_total",
    help: "Moves of actions into a phase, as committed by this replica",
    labels: { phase: ["QUEUED", "RUNNING", "SUCCEEDED", "FAILED", "ABORTED", "TIMED_OUT", "PAUSED"] },
  });
  const info = metrics.gauge<"version" | "fsync" | "synchronous_commit" | "embedded">({
    name: "flyte_database_info",
    help: "The database and its durable settings; always 1",
    labels: { version: [], fsync: [], synchronous_commit: [], embedded: [] },
  });
  return {
    metrics,
    tracer: tracing.tracer,
    rpc: rpcMetrics(metrics),
    phase: (phase) => phases.inc({ phase: phaseName(phase) }),
    database: ({ version, fsync, synchronousCommit, embedded }) =>
      info.set({ version, fsync, synchronous_commit: synchronousCommit, embedded: String(embedded) }, 1),
    http: (req, res) => metrics.handler(req, res),
    shutdown: () => tracing.shutdown(),
  };
}
