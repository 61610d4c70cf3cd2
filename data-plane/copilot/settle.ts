/**
 * What an ended task left as files becomes what everybody reads: error.pb, or outputs.pb, or nothing at all where the
 * way in which the task ended says it all.
 *
 * Promise: outputs.pb is written last, after all that it names is stored, and only for a task that ended with 0.
 */
import { open } from "node:fs/promises";
import { join } from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import type { VariableMap } from "@flyte-ts/contract/flyteidl2/core/interface_pb.ts";
import { type Outputs, OutputsSchema } from "@flyte-ts/contract/flyteidl2/task/common_pb.ts";
import type { ObjectStore } from "@flyte-ts/platform/object-store";
import { outputLiteral } from "./output-literal.ts";
import { fileOf, look } from "./paths.ts";
import { type Patience, patiently } from "./patience.ts";
import { errorDocument, explained, StagingError } from "./staging-error.ts";

export interface Settle {
  store: Pick<ObjectStore, "put">;
  /** Where the task left its outputs. */
  folder: string;
  outputs: VariableMap | undefined;
  /** The task's; what ended by a signal did not end with 0. */
  exitCode: number;
  /** Folder of outputs.pb and error.pb. */
  attemptUri: string;
  /** Folder of files and folders. */
  rawDataPrefix: string;
  /** Without it, trouble of the store is thrown at once. */
  patience?: Patience;
}

export type Settled = "outputs" | "error" | "nothing";

/** A task that fails may say why in a file of this name. */
const ERROR_FILE = "_ERROR";
const MAX_ERROR_BYTES = 1 << 20;

/** Throws only what the store threw; what is wrong with the files is in error.pb. */
export async function settle(options: Settle): Promise<Settled> {
  const { store, attemptUri, patience } = options;
  try {
    await reported(options.folder);
    if (options.exitCode !== 0) return "nothing";
    const bytes = toBinary(OutputsSchema, await collected(options));
    await patiently(patience, () => store.put(`${attemptUri}/outputs.pb`, bytes));
    return "outputs";
  } catch (error) {
    if (!(error instanceof StagingError)) throw error;
    await patiently(patience, () => store.put(`${attemptUri}/error.pb`, errorDocument(error)));
    return "error";
  }
}

async function collected({ store, folder, outputs, rawDataPrefix, patience }: Settle): Promise<Outputs> {
  const result = create(OutputsSchema);
  for (const { key: name, value } of outputs?.variables ?? []) {
    try {
      const found = await look(folder, fileOf(folder, name));
      const uri = `${rawDataPrefix}/${name}`;
      const parts = { store, patience, root: folder, name, found, uri };
      const literal = await outputLiteral(parts, value?.type);
      result.literals.push({ $typeName: "flyteidl2.task.NamedLiteral", name, value: literal });
    } catch (error) {
      throw explained(error, `its output \`${name}\``, { missing: "OutputVanished" });
    }
  }
  return result;
}

/** Throws what the task itself says of its failure. */
async function reported(folder: string): Promise<void> {
  const found = await look(folder, join(folder, ERROR_FILE));
  if (found.kind === "none") return;
  const own = { code: "TaskReportedError", kind: "user", recoverable: true } as const;
  if (found.kind !== "file")
    throw new StagingError(`the task left ${ERROR_FILE}, which is no file that can be read`, own);
  const file = await open(found.path);
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(Math.min(found.size, MAX_ERROR_BYTES)), 0);
    const text = buffer.subarray(0, bytesRead).toString("utf8").trim();
    const rest = found.size > MAX_ERROR_BYTES ? `\n… (${found.size - MAX_ERROR_BYTES} bytes more)` : "";
    throw new StagingError(text === "" ? `the task left an empty ${ERROR_FILE}` : text + rest, own);
  } finally {
    await file.close();
  }
}
