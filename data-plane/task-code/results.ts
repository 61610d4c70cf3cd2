/** What a task wrote about its end into its folder of the object store. */
import { fromBinary } from "@bufbuild/protobuf";
import { type ContainerError, ErrorDocumentSchema } from "@flyte-ts/contract/flyteidl2/core/execution_pb.ts";
import { ObjectNotFoundError, type ObjectStore } from "@flyte-ts/platform/object-store";

export interface Results {
  error: ContainerError | "unreadable" | undefined;
  hasOutputs: boolean;
}

/** Errors carry messages and stack traces; more than this is no error document. */
const MAX_ERROR_BYTES = 16 << 20;

/** Throws when the store is away: then nobody knows yet how the attempt ended. */
export async function readResults(
  objectStore: Pick<ObjectStore, "get" | "head">,
  attemptUri: string,
): Promise<Results> {
  const error = await readError(objectStore, `${attemptUri}/error.pb`);
  if (error) return { error, hasOutputs: false };
  return { error: undefined, hasOutputs: (await objectStore.head(`${attemptUri}/outputs.pb`)) !== undefined };
}

async function readError(objectStore: Pick<ObjectStore, "get">, uri: string): Promise<Results["error"]> {
  let bytes: Uint8Array;
  try {
    bytes = await objectStore.get(uri, { maxBytes: MAX_ERROR_BYTES });
  } catch (error) {
    if (error instanceof ObjectNotFoundError) return undefined;
    throw error;
  }
  try {
    return fromBinary(ErrorDocumentSchema, bytes).error ?? "unreadable";
  } catch {
    return "unreadable";
  }
}
