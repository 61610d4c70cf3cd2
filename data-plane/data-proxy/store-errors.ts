/** Turns what the object store says into what a caller may read. */
import {
  type AppError,
  alreadyExists,
  failedPrecondition,
  invalidArgument,
  notFound,
  resourceExhausted,
  unavailable,
} from "@flyte-ts/core";
import { InvalidKeyError, ObjectStoreError } from "@flyte-ts/platform/object-store";

/** Awaits a store operation on an address made of the request; its typed errors become AppErrors, all others pass. */
export async function fromStore<T>(operation: Promise<T>): Promise<T> {
  try {
    return await operation;
  } catch (error) {
    throw error instanceof ObjectStoreError ? toAppError(error) : error;
  }
}

/** The same for an address that was recorded earlier, when the present caller cannot help that it is unusable. */
export async function fromRecordedUri<T>(operation: Promise<T>): Promise<T> {
  try {
    return await operation;
  } catch (error) {
    if (!(error instanceof InvalidKeyError)) return fromStore(Promise.reject(error));
    throw failedPrecondition(`${error.uri} is not in a store that this server reads: ${error.message}`, {
      cause: error,
    });
  }
}

function toAppError(error: ObjectStoreError): AppError {
  const options = { cause: error };
  switch (error.code) {
    case "not_found":
      return notFound(error.message, options);
    case "exists":
      return alreadyExists(error.message, options);
    case "invalid_key":
      return invalidArgument(error.message, options);
    case "too_large":
    case "full":
      return resourceExhausted(error.message, options);
    case "content_mismatch":
    case "unavailable":
      return unavailable(error.message, options);
  }
}
