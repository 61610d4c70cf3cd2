/**
 * Traces over OpenTelemetry: off unless an OTLP endpoint is given, and then one trace for the path of each action.
 *
 *     await tracer.withParent(traceparentOfRun(key)).span("enqueue", { run }, async (inside) => {
 *       row.traceparent = traceparentOf(inside); // the lease, an hour later and elsewhere, continues from here
 *     });
 *
 * Promise: off costs a function call; the parent is passed by hand, never by ambient state; a collector that is away
 * never slows or fails the work. Whoever created it calls `shutdown`, which sends what is left.
 */
import { type Attributes, ROOT_CONTEXT, type Span, SpanStatusCode, trace } from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BasicTracerProvider, BatchSpanProcessor } from "@opentelemetry/sdk-trace-node";
import { formatTraceparent, parseTraceparent } from "./traceparent.ts";

export interface Tracer {
  readonly enabled: boolean;
  /** The span that new spans become children of, if there is one. */
  readonly traceparent: string | undefined;
  /** Runs `fn` in a span that ends with it; a thrown error marks the span and is thrown on. */
  span<T>(name: string, attributes: Attributes, fn: (inside: Tracer) => T | Promise<T>): Promise<T>;
  /** A tracer whose spans are children of the given one; text that is no traceparent changes nothing. */
  withParent(traceparent: string | undefined): Tracer;
}

export interface Tracing {
  readonly tracer: Tracer;
  /** Sends what is left; never rejects. */
  shutdown(): Promise<void>;
}

export interface TracingOptions {
  /** Base address of an OTLP/HTTP collector, such as `http://localhost:4318`. */
  otlpEndpoint?: string | undefined;
  serviceName: string;
}

export function createTracing({ otlpEndpoint, serviceName }: TracingOptions): Tracing {
  if (otlpEndpoint === undefined || otlpEndpoint === "") return { tracer: noTracer, shutdown: async () => {} };
  // the exporter repeats until this is over, and a drain waits for it
  const timeoutMillis = 2000;
  const exporter = new OTLPTraceExporter({ url: `${otlpEndpoint.replace(/\/+$/, "")}/v1/traces`, timeoutMillis });
  const provider = new BasicTracerProvider({
    resource: resourceFromAttributes({ "service.name": serviceName }),
    spanProcessors: [new BatchSpanProcessor(exporter)],
  });
  const source = provider.getTracer("flyte-ts");

  const tracerUnder = (traceparent: string | undefined): Tracer => ({
    enabled: true,
    traceparent,
    withParent: (other) => (parseTraceparent(other) === undefined ? tracerUnder(traceparent) : tracerUnder(other)),
    span: async (name, attributes, fn) => {
      const parent = parseTraceparent(traceparent);
      const context = parent === undefined ? ROOT_CONTEXT : trace.setSpanContext(ROOT_CONTEXT, parent);
      const span = source.startSpan(name, { attributes }, context);
      try {
        return await fn(tracerUnder(formatTraceparent(span.spanContext())));
      } catch (thrown) {
        fail(span, thrown);
        throw thrown;
      } finally {
        span.end();
      }
    },
  });
  return { tracer: tracerUnder(undefined), shutdown: () => provider.shutdown().catch(() => {}) };
}

/** What to store or send so that another process continues here. */
export function traceparentOf(tracer: Tracer): string | undefined {
  return tracer.traceparent;
}

export const noTracer: Tracer = {
  enabled: false,
  traceparent: undefined,
  span: async (_name, _attributes, fn) => fn(noTracer),
  withParent: () => noTracer,
};

function fail(span: Span, thrown: unknown): void {
  const error = thrown instanceof Error ? thrown : new Error(String(thrown));
  span.recordException(error);
  span.setStatus({ code: SpanStatusCode.ERROR, message: error.message });
}
