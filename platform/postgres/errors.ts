/**
 * The kinds of database failure the rest of the house tells apart. Everything the driver throws passes through
 * `toDatabaseError` once; what it does not recognise (a violated constraint, a syntax error) stays as it is.
 */

/**
 * The database could not be reached or went away in the middle. Nothing is wrong with the statement: a service answers
 * UNAVAILABLE and the caller tries again. `maybeCommitted` says that a commit was under way, so its outcome is unknown.
 */
export class DatabaseUnavailableError extends Error {
  readonly reason: string;
  readonly maybeCommitted: boolean;

  constructor(reason: string, options: { cause?: unknown; maybeCommitted?: boolean } = {}) {
    super(
      `The database is unavailable (${reason}). ` +
        (options.maybeCommitted
          ? "It went away during a commit, so the change may or may not have been stored: read it again before repeating it."
          : "Check that PostgreSQL is running and reachable; the call can be repeated."),
      { cause: options.cause },
    );
    this.name = "DatabaseUnavailableError";
    this.reason = reason;
    this.maybeCommitted = options.maybeCommitted ?? false;
  }
}

/**
 * PostgreSQL had already rolled the transaction back, so commit stored nothing: a statement failed whose answer the body
 * did not wait for, or whose error it hid. The cause is that statement's error.
 */
export class TransactionRolledBackError extends Error {
  constructor(options: { cause?: unknown } = {}) {
    super("The transaction was rolled back because one of its statements had failed; nothing was stored.", options);
    this.name = "TransactionRolledBackError";
  }
}

const unavailableSystemCodes = new Set([
  "ECONNREFUSED",
  "ECONNRESET",
  "ECONNABORTED",
  "EPIPE",
  "ETIMEDOUT",
  "EHOSTUNREACH",
  "ENETUNREACH",
  "ENOTFOUND",
  "EAI_AGAIN",
  // The socket file is missing or not yet served: the server behind it is down.
  "ENOENT",
]);

/** The driver's own failures carry no code, only these sentences. */
const unavailableMessage =
  /^(timeout exceeded when trying to connect|Connection terminated|Query read timeout|Client (has encountered a connection error|was closed)|Cannot use a pool after calling end)/;

/** Class 08 (connection exceptions), 57P0x (shutdown, crash, starting up), 53300 (no connection slot left). */
function isUnavailableState(code: string): boolean {
  return code.startsWith("08") || code.startsWith("57P0") || code === "53300";
}

function codeOf(error: unknown): string | undefined {
  if (typeof error !== "object" || error === null || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}

/** The error as the rest of the house knows it; `duringCommit` marks a lost commit whose outcome is unknown. */
export function toDatabaseError(error: unknown, options: { duringCommit?: boolean } = {}): unknown {
  if (error instanceof DatabaseUnavailableError) return error;
  const code = codeOf(error);
  const message = error instanceof Error ? error.message : String(error);
  const unavailable =
    code === undefined
      ? unavailableMessage.test(message)
      : unavailableSystemCodes.has(code) || isUnavailableState(code);
  if (!unavailable) return error;
  const reason = code === undefined || message.includes(code) ? message : message ? `${code}: ${message}` : code;
  return new DatabaseUnavailableError(reason, { cause: error, maybeCommitted: options.duringCommit ?? false });
}

/** A statement was not tried because one before it in its transaction had failed (25P02). */
export function isAfterFailure(error: unknown): boolean {
  return codeOf(error) === "25P02";
}

/** A row with this key exists already (23505). */
export function isUniqueViolation(error: unknown): boolean {
  return codeOf(error) === "23505";
}

/** Another transaction was in the way and this one may simply be repeated: serialization failure or deadlock. */
export function isSerializationFailure(error: unknown): boolean {
  const code = codeOf(error instanceof TransactionRolledBackError ? error.cause : error);
  return code === "40001" || code === "40P01";
}

/** A database URL fit for logs and messages: the password is replaced. */
export function redact(url: string): string {
  return url.replace(/^([a-z][a-z0-9+.-]*:\/\/[^:@/?#]*):.*@/i, "$1:***@").replace(/([?&]password=)[^&#]*/gi, "$1***");
}
