/**
 * The one place where a thrown value becomes a wire error.
 *
 * Promise: what we meant to say (ConnectError, AppError) arrives as written; an absent database is UNAVAILABLE, which
 * clients repeat; text that no database can keep is the caller's fault; everything else is INTERNAL with the request id
 * and nothing of the cause, which is logged loudly. A caller that went away is nobody's error.
 */
import { Code, ConnectError, type Interceptor, type StreamRequest, type UnaryRequest } from "@connectrpc/connect";
import { AppError, type ErrorKind } from "@flyte-ts/core";
import { requestIdKey } from "./request-id.ts";

/** What the RPC room writes to; a pino logger fits. */
export interface RpcLog {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
}

/** What was going on when the error was thrown. */
export interface CallSite {
  readonly requestId: string;
  readonly method: string;
  readonly signal: AbortSignal | undefined;
  readonly log: RpcLog;
}

const codeOfKind: Record<ErrorKind, Code> = {
  invalid: Code.InvalidArgument,
  not_found: Code.NotFound,
  already_exists: Code.AlreadyExists,
  failed_precondition: Code.FailedPrecondition,
  unavailable: Code.Unavailable,
  aborted: Code.Aborted,
  resource_exhausted: Code.ResourceExhausted,
  permission_denied: Code.PermissionDenied,
  unauthenticated: Code.Unauthenticated,
  unimplemented: Code.Unimplemented,
  out_of_range: Code.OutOfRange,
};

/** PostgreSQL's codes for text with a NUL character, which protobuf allows: as plain text and within JSON. */
const unstorable: ReadonlySet<unknown> = new Set(["22021", "22P05"]);

const unreadable = /^parse (binary|json)/;

export function toConnectError(thrown: unknown, site: CallSite): ConnectError {
  if (thrown instanceof ConnectError) {
    // connect-node says "internal" of bytes that are not the message; clients would repeat them
    if (thrown.code === Code.Internal && unreadable.test(thrown.rawMessage)) {
      return new ConnectError(thrown.rawMessage, Code.InvalidArgument, undefined, undefined, thrown);
    }
    return thrown;
  }
  if (thrown instanceof AppError) {
    const headers = thrown.slug === undefined ? undefined : { "x-error-slug": thrown.slug };
    return new ConnectError(thrown.message, codeOfKind[thrown.kind], headers, undefined, thrown);
  }
  if (site.signal?.aborted) {
    const reason: unknown = site.signal.reason;
    return reason instanceof ConnectError ? reason : new ConnectError("the call was cancelled", Code.Canceled);
  }
  const { requestId, method } = site;
  if (thrown instanceof Error && thrown.name === "DatabaseUnavailableError") {
    site.log.warn({ requestId, method, err: thrown }, "rpc refused: database unavailable");
    return new ConnectError(
      `the database is unavailable, try again (request ${requestId})`,
      Code.Unavailable,
      undefined,
      undefined,
      thrown,
    );
  }
  if (thrown instanceof Error && "code" in thrown && unstorable.has(thrown.code)) {
    site.log.debug({ requestId, method, err: thrown }, "rpc refused: text that cannot be stored");
    return new ConnectError(
      "a text in the request holds a NUL character; no name or value here may have one",
      Code.InvalidArgument,
      undefined,
      undefined,
      thrown,
    );
  }
  site.log.error({ requestId, method, err: thrown }, "rpc failed: internal error");
  return new ConnectError(
    `internal error; the server log has the cause under request ${requestId}`,
    Code.Internal,
    undefined,
    undefined,
    thrown,
  );
}

/** `package.Service/Method`, as logs and metrics name a call. */
export function methodName(req: UnaryRequest | StreamRequest): string {
  return `${req.service.typeName}/${req.method.name}`;
}

/** Outermost interceptor: nothing passes it but ConnectErrors. */
export function errorMapping(log: RpcLog): Interceptor {
  return (next) => async (req) => {
    const site = (): CallSite => ({
      requestId: req.contextValues.get(requestIdKey),
      method: methodName(req),
      signal: req.signal,
      log,
    });
    try {
      const res = await next(req);
      return res.stream ? { ...res, message: mapped(res.message, site) } : res;
    } catch (thrown) {
      throw toConnectError(thrown, site());
    }
  };
}

async function* mapped<T>(messages: AsyncIterable<T>, site: () => CallSite): AsyncIterable<T> {
  try {
    yield* messages;
  } catch (thrown) {
    throw toConnectError(thrown, site());
  }
}
