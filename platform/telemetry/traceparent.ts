/**
 * The W3C `traceparent` as the thread through processes: text that fits in a row, a header or an environment variable.
 */
import { createHash } from "node:crypto";
import type { SpanContext } from "@opentelemetry/api";

const shape = /^[\da-f]{2}-([\da-f]{32})-([\da-f]{16})-([\da-f]{2})$/;

/** The span a `traceparent` names, undefined if it is not one. */
export function parseTraceparent(traceparent: string | undefined): SpanContext | undefined {
  const [, traceId, spanId, flags] = shape.exec(traceparent ?? "") ?? [];
  if (traceId === undefined || spanId === undefined || flags === undefined) return undefined;
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined;
  return { traceId, spanId, traceFlags: Number.parseInt(flags, 16) & 1, isRemote: true };
}

export function formatTraceparent({ traceId, spanId, traceFlags }: SpanContext): string {
  return `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, "0")}`;
}

/**
 * The parent of all spans of a run when nobody brought one: follows from the run's key, so that every process that ever
 * touches the run, now or after a restart, writes to the same trace without asking anybody.
 */
export function traceparentOfRun(runKey: string): string {
  const digest = createHash("sha256").update(`flyte-ts run ${runKey}`).digest("hex");
  return `00-${digest.slice(0, 32)}-${digest.slice(32, 48)}-01`;
}
