/** Task templates that are too large for an object: kept in the object store beside the attempt's outputs. */
import { createHash } from "node:crypto";
import type { LeasedAction } from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";
import { type ObjectStore, ObjectStoreError } from "@flyte-ts/platform/object-store";
import { attemptPlaces, type Log, pause, UnstorableError } from "../executor/index.ts";
import { MalformedError } from "./malformed.ts";
import type { TemplateRef } from "./spec.ts";
import { maxInlineTemplateBytes } from "./task-action.ts";

export interface Templates {
  /** Undefined: it fits into the object. */
  put(lease: LeasedAction): Promise<TemplateRef | undefined>;
  /** Waits while the object store is away. Throws a MalformedError when it is not what the object refers to. */
  read(ref: TemplateRef, signal: AbortSignal): Promise<Uint8Array>;
  remove(ref: TemplateRef): Promise<void>;
}

const firstPauseMs = 100;
const longestPauseMs = 5_000;

export function templates(objectStore: Pick<ObjectStore, "get" | "put" | "delete">, log: Log): Templates {
  async function once({ uri, size, sha256 }: TemplateRef): Promise<Uint8Array> {
    const bytes = await objectStore.get(uri, { maxBytes: size });
    if (digest(bytes) === sha256) return new Uint8Array(bytes);
    throw new MalformedError(`spec.taskTemplateRef: ${uri} is not what it was: its SHA-256 is ${digest(bytes)}`);
  }

  return {
    async put(lease) {
      const bytes = lease.taskSpec;
      if (bytes.length <= maxInlineTemplateBytes) return undefined;
      const uri = `${attemptPlaces(lease).attemptUri}/task-spec.pb`;
      try {
        await objectStore.put(uri, bytes);
      } catch (cause) {
        if (!isLasting(cause)) throw cause;
        const message = `the task's template of ${bytes.length} bytes cannot be kept: ${cause.message}`;
        throw new UnstorableError({ code: "InvalidSpec", message, kind: "user", recoverable: false }, { cause });
      }
      return { uri, size: bytes.length, sha256: digest(bytes) };
    },
    async read(ref, signal) {
      for (let waitMs = firstPauseMs; ; waitMs = Math.min(2 * waitMs, longestPauseMs)) {
        try {
          return await once(ref);
        } catch (error) {
          if (error instanceof MalformedError) throw error;
          if (isLasting(error)) throw new MalformedError(`spec.taskTemplateRef: ${error.message}`, { cause: error });
          signal.throwIfAborted();
          log.warn({ uri: ref.uri, err: error }, "a task's template cannot be read and is tried again");
          await pause(waitMs, signal);
        }
      }
    },
    async remove({ uri }) {
      await objectStore
        .delete([uri])
        .catch((error) => log.warn({ uri, err: error }, "the template of an ended attempt could not be removed"));
    },
  };
}

/** Trying again changes nothing. */
function isLasting(error: unknown): error is ObjectStoreError {
  return error instanceof ObjectStoreError && error.code !== "unavailable" && error.code !== "full";
}

function digest(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
