/** Failures of the AWS client as the port's errors. */
import {
  ContentMismatchError,
  ObjectExistsError,
  ObjectNotFoundError,
  ObjectStoreError,
  StoreFullError,
  StoreUnavailableError,
} from "../errors.ts";

/** Classifies by the code first and the status second, because servers differ in their codes. */
export function toStoreError(error: unknown, uri: string, endpoint: string): ObjectStoreError {
  if (error instanceof ObjectStoreError) return error;
  const { name, message, status } = describe(error);
  const options = { cause: error };
  if (name === "NoSuchBucket") {
    return new StoreUnavailableError(uri, `the bucket does not exist at ${endpoint}: create it`, options);
  }
  if (name === "NoSuchKey" || name === "NotFound" || status === 404) return new ObjectNotFoundError(uri, options);
  if (name === "PreconditionFailed" || name === "ConditionalRequestConflict" || status === 412) {
    return new ObjectExistsError(uri, options);
  }
  if (name === "BadDigest" || name === "InvalidDigest" || name === "XAmzContentSHA256Mismatch") {
    return new ContentMismatchError(uri, "the digest", options);
  }
  if (status === 507 || /InsufficientStorage|StorageFull|QuotaExceeded/.test(name)) {
    return new StoreFullError(uri, endpoint, options);
  }
  if (status === 401 || status === 403) {
    const reason = `${endpoint} refused access (${name}: ${message}); check the keys, the bucket's policy and the clock`;
    return new StoreUnavailableError(uri, reason, options);
  }
  if (status === 301 || name === "PermanentRedirect") {
    return new StoreUnavailableError(uri, `the bucket lives in another region than configured (${message})`, options);
  }
  return new StoreUnavailableError(uri, `${endpoint} answered ${name}: ${message}`, options);
}

/** True when the server said that a range begins beyond the end. */
export function isInvalidRange(error: unknown): boolean {
  const { name, status } = describe(error);
  return name === "InvalidRange" || status === 416;
}

function describe(error: unknown): { name: string; message: string; status: number | undefined } {
  if (!(error instanceof Error)) return { name: "Error", message: String(error), status: undefined };
  const metadata = "$metadata" in error ? (error.$metadata as { httpStatusCode?: number } | undefined) : undefined;
  const code = "code" in error && typeof error.code === "string" ? error.code : error.name;
  // A HEAD has no body, so its errors have no code; refused connections may have no message.
  return {
    name: error.name === "Error" ? code : error.name,
    message: error.message || code,
    status: metadata?.httpStatusCode,
  };
}
