/**
 * The few ways an object store can fail. Each error names the object and what to do next, and carries a `code` that
 * callers switch on; anything an adapter cannot classify becomes {@link StoreUnavailableError} with its cause kept.
 */

/** What went wrong, for callers that map errors to wire codes. */
export type ObjectStoreErrorCode =
  | "not_found"
  | "exists"
  | "invalid_key"
  | "too_large"
  | "content_mismatch"
  | "full"
  | "unavailable";

/** Base of every error an {@link ObjectStore} throws. */
export class ObjectStoreError extends Error {
  readonly code: ObjectStoreErrorCode;
  /** The object or prefix concerned. */
  readonly uri: string;

  constructor(code: ObjectStoreErrorCode, uri: string, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = new.target.name;
    this.code = code;
    this.uri = uri;
  }
}

/** The object does not exist. */
export class ObjectNotFoundError extends ObjectStoreError {
  constructor(uri: string, options?: { cause?: unknown }) {
    super("not_found", uri, `object ${uri} does not exist: it was never written, or it was deleted`, options);
  }
}

/** `ifAbsent` was asked for and the object is there already; it was left as it is. */
export class ObjectExistsError extends ObjectStoreError {
  constructor(uri: string, options?: { cause?: unknown }) {
    super("exists", uri, `object ${uri} exists already and was not replaced: choose another name`, options);
  }
}

/** The URI is not one this store can hold: malformed, a foreign bucket, or a key that could leave its bucket. */
export class InvalidKeyError extends ObjectStoreError {
  constructor(uri: string, reason: string, options?: { cause?: unknown }) {
    super("invalid_key", uri, `object address ${JSON.stringify(uri)} is not usable: ${reason}`, options);
  }
}

/** The object is larger than the caller is willing to hold in memory. */
export class ObjectTooLargeError extends ObjectStoreError {
  readonly size: number;
  readonly limit: number;

  constructor(uri: string, size: number, limit: number) {
    super(
      "too_large",
      uri,
      `object ${uri} has ${size} bytes, more than the ${limit} allowed here: read a range, stream it, or raise the limit`,
    );
    this.size = size;
    this.limit = limit;
  }
}

/** The bytes that arrived are not the bytes that were announced (digest or length); nothing was stored. */
export class ContentMismatchError extends ObjectStoreError {
  constructor(uri: string, what: string, options?: { cause?: unknown }) {
    super(
      "content_mismatch",
      uri,
      `${what} of ${uri} does not match the data received, nothing was stored: send it again`,
      options,
    );
  }
}

/** The disk or the quota behind the store is full; nothing was stored. */
export class StoreFullError extends ObjectStoreError {
  constructor(uri: string, where: string, options?: { cause?: unknown }) {
    super(
      "full",
      uri,
      `no space left in ${where} to write ${uri}: free space or move the store, then try again`,
      options,
    );
  }
}

/** The store cannot be reached or refuses to work; the operation may be tried again. */
export class StoreUnavailableError extends ObjectStoreError {
  constructor(uri: string, reason: string, options?: { cause?: unknown }) {
    super("unavailable", uri, `object store is not available for ${uri}: ${reason}`, options);
  }
}
