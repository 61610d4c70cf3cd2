/**
 * Errors a decision can end with, in words of the domain, not of the wire.
 *
 * Promise: whoever throws an `AppError` chooses what the caller is told; the RPC door (platform/rpc) turns the kind into
 * a wire code at one place and passes the message on unchanged. Everything that is not an `AppError` is a bug or an
 * outage and its text stays in our logs. The message says what happened to which thing, and what to do next.
 *
 *     throw notFound(`run ${name} does not exist in ${project}/${domain}; list runs to see what does`);
 */

/** The answers there are, in the meaning the client's control flow gives them. */
export type ErrorKind =
  | "invalid"
  | "not_found"
  | "already_exists"
  | "failed_precondition"
  | "unavailable"
  | "aborted"
  | "resource_exhausted"
  | "permission_denied"
  | "unauthenticated"
  | "unimplemented"
  | "out_of_range";

export interface AppErrorOptions {
  /** The page in the documentation that explains this error, such as `queue-full`. */
  slug?: string;
  /** What led here; logged, never sent. */
  cause?: unknown;
}

/** An error the caller may read. */
export class AppError extends Error {
  override readonly name = "AppError";
  readonly kind: ErrorKind;
  readonly slug: string | undefined;

  constructor(kind: ErrorKind, message: string, options: AppErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.kind = kind;
    this.slug = options.slug;
  }
}

type Factory = (message: string, options?: AppErrorOptions) => AppError;

const factory =
  (kind: ErrorKind): Factory =>
  (message, options) =>
    new AppError(kind, message, options);

/** The request can never succeed as it is written. */
export const invalidArgument = factory("invalid");
/** The named thing does not exist (or not yet: clients retry where the contract says so). */
export const notFound = factory("not_found");
/** The name is taken; for idempotent verbs clients read this as success. */
export const alreadyExists = factory("already_exists");
/** The thing exists but is in a state that forbids this. */
export const failedPrecondition = factory("failed_precondition");
/** A part we need is away; the same request may succeed soon. */
export const unavailable = factory("unavailable");
/** Somebody else decided first: a lost race, or a run that was aborted. */
export const aborted = factory("aborted");
/** Full for now: clients of Enqueue wait and repeat for ever, others fail at once. */
export const resourceExhausted = factory("resource_exhausted");
export const permissionDenied = factory("permission_denied");
export const unauthenticated = factory("unauthenticated");
/** The contract has it, this server does not. */
export const unimplemented = factory("unimplemented");
export const outOfRange = factory("out_of_range");
