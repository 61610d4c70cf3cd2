/**
 * Why inputs cannot become files, or files no outputs, in the words that the attempt's error will have.
 *
 * Whoever is to blame decides whose retries are used: a missing or malformed file is the user's, a store that stays away
 * is the system's.
 */
import { create, toBinary } from "@bufbuild/protobuf";
import {
  ContainerError_Kind,
  ErrorDocumentSchema,
  ExecutionError_ErrorKind,
} from "@flyte-ts/contract/flyteidl2/core/execution_pb.ts";

export interface StagingErrorParts {
  code: string;
  kind: "user" | "system";
  /** Another try may succeed. */
  recoverable: boolean;
}

export class StagingError extends Error {
  override readonly name = "StagingError";
  readonly code: string;
  readonly kind: "user" | "system";
  readonly recoverable: boolean;

  constructor(message: string, { code, kind, recoverable }: StagingErrorParts, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
    this.kind = kind;
    this.recoverable = recoverable;
  }
}

/** The task is written, or called, in a way that no retry can help. */
export function unstageable(message: string, code = "BadTaskSpecification"): StagingError {
  return new StagingError(message, { code, kind: "user", recoverable: false });
}

/** The bytes of an error.pb. */
export function errorDocument({ code, message, kind, recoverable }: StagingError): Uint8Array {
  return toBinary(
    ErrorDocumentSchema,
    create(ErrorDocumentSchema, {
      error: {
        code,
        message,
        kind: recoverable ? ContainerError_Kind.RECOVERABLE : ContainerError_Kind.NON_RECOVERABLE,
        origin: kind === "user" ? ExecutionError_ErrorKind.USER : ExecutionError_ErrorKind.SYSTEM,
      },
    }),
  );
}

/**
 * What a store or a disk threw, for one input or output; trouble of the store that may pass comes back as it is. Told
 * apart by the port's `code`: this runs in a container that must stay small while it waits, without any store loaded.
 */
export function explained(error: unknown, what: string, code: { missing: string }): unknown {
  if (!(error instanceof Error) || error instanceof StagingError) return error;
  switch ((error as { code?: unknown }).code) {
    case "not_found":
      return new StagingError(
        `${what} is gone: ${error.message}`,
        { code: code.missing, kind: "user", recoverable: false },
        { cause: error },
      );
    case "invalid_key":
      return unstageable(`${what} cannot be stored or read: ${error.message}`);
    case "ENOSPC":
    case "EDQUOT":
      return new StagingError(
        `no space left on the disk for ${what}: ask for more ephemeral storage`,
        { code: "DiskFull", kind: "user", recoverable: true },
        { cause: error },
      );
    case "EACCES":
    case "EPERM":
      return unstageable(`${what} cannot be read: let everybody read the file (chmod a+r)`, "OutputUnreadable");
    case "ENAMETOOLONG":
    case "EISDIR":
    case "ENOTDIR":
    case "EEXIST":
      return unstageable(`${what} cannot be laid out as files: ${error.message}`);
    default:
      return error;
  }
}

/** The store is away, or full: it may be back later. */
export function isStoreTrouble(error: unknown): error is Error {
  const code = error instanceof Error ? (error as { code?: unknown }).code : undefined;
  return code === "unavailable" || code === "full";
}
