export { createLogger, type Logger, type LoggerOptions, type LogLevel } from "./logger.ts";
export { createMetrics, type MetricOptions, type Metrics } from "./metrics.ts";
export { redactText } from "./redact.ts";
export { traceparentOfRun } from "./traceparent.ts";
export { createTracing, noTracer, type Tracer, type Tracing, type TracingOptions, traceparentOf } from "./tracing.ts";
