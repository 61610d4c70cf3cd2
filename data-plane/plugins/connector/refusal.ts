/**
 * What an error of a call to a connector means. Pure.
 *
 * A connector's own exceptions arrive as INTERNAL or UNKNOWN (the Python service gives no other code), so those say
 * nothing about whether another try is worth it; the codes of the gRPC layer do.
 */
import { Code, ConnectError } from "@connectrpc/connect";
import { NotConnectedError } from "./client.ts";

export type Refusal =
  /** It cannot be reached. `sent` says whether it may have seen the call nevertheless. */
  | { kind: "away"; sent: boolean; message: string }
  /** No answer within the time limit: it may be this call alone. */
  | { kind: "slow"; message: string }
  /** It is there and has no time. */
  | { kind: "busy"; message: string }
  /** No such resource, or no connector for this task type. */
  | { kind: "notFound"; message: string }
  /** The same call will never be taken. */
  | { kind: "refused"; code: string; message: string }
  /** It answered with an error of its own. */
  | { kind: "broken"; code: string; message: string };

const REFUSED: ReadonlySet<Code> = new Set([Code.InvalidArgument, Code.Unimplemented, Code.PermissionDenied]);

export function refusalOf(thrown: unknown): Refusal {
  if (thrown instanceof NotConnectedError) return { kind: "away", sent: false, message: thrown.message };
  const error = ConnectError.from(thrown);
  const code = Code[error.code] ?? String(error.code);
  const message = messageOf(error);
  const causes = causesOf(error);
  if (causes.some(isBeforeSending)) return { kind: "away", sent: false, message };
  if (causes.some(({ code }) => typeof code === "string")) return { kind: "away", sent: true, message };
  // A stream that was reset has no cause, only these words.
  if (error.rawMessage.startsWith("http/2 ")) return { kind: "away", sent: true, message };
  switch (error.code) {
    case Code.DeadlineExceeded:
      return { kind: "slow", message };
    case Code.Unavailable:
    case Code.Canceled:
    case Code.Aborted:
      return { kind: "away", sent: true, message };
    case Code.ResourceExhausted:
      return { kind: "busy", message };
    case Code.NotFound:
      return { kind: "notFound", message };
  }
  return REFUSED.has(error.code) ? { kind: "refused", code, message } : { kind: "broken", code, message };
}

interface NodeCause {
  code?: unknown;
  syscall?: unknown;
}

/** Errors of sockets and of TLS below the call. */
function causesOf(error: Error): NodeCause[] {
  const causes: NodeCause[] = [];
  for (let cause = error.cause; cause instanceof Error && causes.length < 10; cause = cause.cause) {
    causes.push(cause as NodeCause);
    // Of a host with several addresses.
    if (cause instanceof AggregateError) causes.push(...(cause.errors as NodeCause[]));
  }
  return causes;
}

/** No connection, so no call. */
function isBeforeSending({ code, syscall }: NodeCause): boolean {
  if (syscall === "connect" || syscall === "getaddrinfo") return true;
  return typeof code === "string" && /CERT|TLS|SSL|^ECONNREFUSED$|^ENOTFOUND$|^EAI_AGAIN$/.test(code);
}

function messageOf(error: ConnectError): string {
  const said = error.rawMessage.trim();
  return said === "" ? `it answered ${Code[error.code]} without a message` : said;
}
