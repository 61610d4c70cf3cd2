/**
 * Logs: one line of JSON for machines, or a short line for people at a terminal.
 *
 * A message is a constant and what varies is in fields, so that lines can be counted and searched:
 *
 *     log.warn({ requestId, queue, err }, "enqueue refused: queue is full");
 *
 * Promise: no credential is printed (see redact.ts), whatever is put in a line; errors print with stack and cause.
 */
import { type DestinationStream, type Logger as PinoLogger, pino, stdSerializers, stdTimeFunctions } from "pino";
import { prettyDestination } from "./pretty.ts";
import { redactFields, redactText } from "./redact.ts";

export type Logger = PinoLogger;
export type LogLevel = "trace" | "debug" | "info" | "warn" | "error" | "fatal" | "silent";

export interface LoggerOptions {
  level?: LogLevel;
  format?: "json" | "pretty";
  /** Where lines go; stderr, because stdout belongs to what a command answers. */
  destination?: DestinationStream;
}

export function createLogger(options: LoggerOptions = {}): Logger {
  const { level = "info", format = "json", destination = process.stderr } = options;
  const error = (thrown: unknown) =>
    thrown instanceof Error ? redactFields({ ...stdSerializers.err(thrown) }) : thrown;
  const logger = pino(
    {
      level,
      base: {},
      timestamp: stdTimeFunctions.isoTime,
      serializers: { err: error, error },
      formatters: {
        level: (label) => ({ level: label }),
        log: (fields) => redactFields(fields),
      },
      hooks: { streamWrite: redactText },
    },
    format === "pretty" ? prettyDestination(destination) : destination,
  );
  // pino formats a child's fields only if each child asks for it; children inherit this instead
  const child = logger.child;
  const redacting: Pick<Logger, "child"> = {
    child(this: Logger, bindings, options) {
      return Reflect.apply(child, this, [redactFields(bindings), options]);
    },
  };
  return Object.assign(logger, redacting);
}
