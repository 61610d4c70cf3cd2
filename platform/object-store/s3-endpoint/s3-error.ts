/**
 * Errors as S3 clients know them: an HTTP status and a code in XML.
 *
 * Clients of the SDK try every 5xx again for half a minute and take a 4xx as final, so only what may pass by itself is
 * a 5xx. A full disk is therefore 413 `InsufficientStorage`: the task fails at once and says why.
 */
import {
  ContentMismatchError,
  InvalidKeyError,
  ObjectExistsError,
  ObjectNotFoundError,
  StoreFullError,
  StoreUnavailableError,
} from "../errors.ts";
import { UploadError } from "../file/index.ts";

/** An error to answer with. */
export class S3Error extends Error {
  readonly status: number;
  readonly code: string;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    status: number,
    code: string,
    message: string,
    options: { headers?: Readonly<Record<string, string>>; cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause });
    this.name = "S3Error";
    this.status = status;
    this.code = code;
    this.headers = options.headers ?? {};
  }
}

/** The request is fine in S3, but not part of what this endpoint serves. */
export function notImplemented(what: string): S3Error {
  return new S3Error(501, "NotImplemented", `${what} is not supported by this endpoint`);
}

export function invalidArgument(message: string): S3Error {
  return new S3Error(400, "InvalidArgument", message);
}

export function accessDenied(message: string): S3Error {
  return new S3Error(403, "AccessDenied", message);
}

/** Any failure as an answer. */
export function toS3Error(error: unknown): S3Error {
  if (error instanceof S3Error) return error;
  const options = { cause: error };
  if (error instanceof UploadError) {
    const missing = error.problem === "no_such_upload";
    return new S3Error(missing ? 404 : 400, missing ? "NoSuchUpload" : "InvalidPart", error.message, options);
  }
  if (error instanceof ObjectNotFoundError) return new S3Error(404, "NoSuchKey", error.message, options);
  if (error instanceof InvalidKeyError) return new S3Error(400, "InvalidArgument", error.message, options);
  if (error instanceof ContentMismatchError) return new S3Error(400, "BadDigest", error.message, options);
  if (error instanceof ObjectExistsError) return new S3Error(412, "PreconditionFailed", error.message, options);
  if (error instanceof StoreFullError) return new S3Error(413, "InsufficientStorage", error.message, options);
  if (error instanceof StoreUnavailableError) return new S3Error(503, "ServiceUnavailable", error.message, options);
  return new S3Error(500, "InternalError", "The endpoint failed; its log has the cause, try again", options);
}
