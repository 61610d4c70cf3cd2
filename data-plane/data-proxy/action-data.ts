/**
 * GetActionData: the inputs and outputs of one action, read from the store.
 *
 * Promise: both messages are always set. What was not written, or is gone by retention, reads as empty; what cannot be
 * read (foreign place, not our message, too large) is an error that names the object, never an empty answer.
 */
import { create, type DescMessage, fromBinary, type MessageInitShape, type MessageShape } from "@bufbuild/protobuf";
import type {
  GetActionDataRequest,
  GetActionDataResponseSchema,
} from "@flyte-ts/contract/flyteidl2/dataproxy/dataproxy_service_pb.ts";
import { InputsSchema, type Outputs, OutputsSchema } from "@flyte-ts/contract/flyteidl2/task/common_pb.ts";
import {
  failedPrecondition,
  inputsObjectUri,
  invalidArgument,
  outputsObjectUri,
  resourceExhausted,
} from "@flyte-ts/core";
import { ObjectNotFoundError, type ObjectStore, ObjectTooLargeError } from "@flyte-ts/platform/object-store";
import type { ActionDirectory, ActionRecord } from "./directory.ts";
import type { DataProxyLimits } from "./limits.ts";
import { fromRecordedUri } from "./store-errors.ts";

export interface ActionDataDeps {
  directory: ActionDirectory;
  objects: ObjectStore;
  limits: DataProxyLimits;
}

export async function getActionData(
  { directory, objects, limits }: ActionDataDeps,
  { actionId }: GetActionDataRequest,
): Promise<MessageInitShape<typeof GetActionDataResponseSchema>> {
  if (!actionId) throw invalidArgument("action_id is not set; name the action whose data you want");
  const action = await directory.action(actionId);
  const inputsUri = action.inputsUri && inputsObjectUri(action.inputsUri);
  const outputsUri = action.outputsUri && outputsObjectUri(action.outputsUri);
  const read = (uri: string) => readIfThere(objects, uri, limits.maxActionDataBytes);
  const [inputs, outputs] = await Promise.all([read(inputsUri), read(outputsUri)]);
  if (inputs.length + outputs.length > limits.maxActionDataBytes) {
    throw tooLarge(
      `${inputsUri} and ${outputsUri} together`,
      inputs.length + outputs.length,
      limits.maxActionDataBytes,
    );
  }
  return {
    inputs: decode(InputsSchema, inputs, inputsUri),
    outputs: action.kind === "condition" ? signalled(action) : decode(OutputsSchema, outputs, outputsUri),
    inputsUri,
    outputsUri,
  };
}

/** A condition writes no object: what it was signalled with is its one output. */
function signalled({ value }: ActionRecord): Outputs {
  return create(OutputsSchema, { literals: value ? [{ name: "o0", value }] : [] });
}

async function readIfThere(objects: ObjectStore, uri: string, maxBytes: number): Promise<Uint8Array> {
  if (uri === "") return new Uint8Array(0);
  const read = objects.get(uri, { maxBytes }).catch((error: unknown) => {
    if (error instanceof ObjectNotFoundError) return new Uint8Array(0);
    if (error instanceof ObjectTooLargeError) throw tooLarge(uri, error.size, maxBytes);
    throw error;
  });
  return fromRecordedUri(read);
}

function tooLarge(what: string, size: number, limit: number) {
  return resourceExhausted(
    `${what} has ${size} bytes, more than the ${limit} that one answer may carry; read it from the store, or return files by reference`,
  );
}

function decode<Desc extends DescMessage>(schema: Desc, bytes: Uint8Array, uri: string): MessageShape<Desc> {
  try {
    return fromBinary(schema, bytes);
  } catch (cause) {
    throw failedPrecondition(`${uri} does not hold a ${schema.typeName} message; it was damaged or overwritten`, {
      cause,
    });
  }
}
