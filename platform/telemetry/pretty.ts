/** Log lines for people: `12:03:01.250 WARN enqueue refused: queue is full queue=default`, errors below with their stack. */
import type { DestinationStream } from "pino";

export function prettyDestination(destination: DestinationStream): DestinationStream {
  return {
    write(line) {
      destination.write(pretty(line));
    },
  };
}

/** A line that is not ours is passed on as it is. */
export function pretty(line: string): string {
  let fields: Record<string, unknown>;
  try {
    fields = JSON.parse(line);
  } catch {
    return line;
  }
  const { time, level, msg, err, ...rest } = fields;
  const parts = [clockOf(time), String(level).toUpperCase().padEnd(5), String(msg ?? "")];
  for (const [key, value] of Object.entries(rest)) parts.push(`${key}=${textOf(value)}`);
  const stack = typeof err === "object" && err !== null ? `\n  ${stackOf(err).replaceAll("\n", "\n  ")}` : "";
  return `${parts.join(" ")}${stack}\n`;
}

function stackOf(err: { stack?: unknown; message?: unknown }): string {
  return String(err.stack ?? err.message ?? "");
}

function clockOf(time: unknown): string {
  return typeof time === "string" ? time.slice(11, 23) : "";
}

function textOf(value: unknown): string {
  if (typeof value !== "string") return JSON.stringify(value);
  return /^[^\s"=]+$/.test(value) ? value : JSON.stringify(value);
}
