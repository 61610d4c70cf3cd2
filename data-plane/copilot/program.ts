/**
 * The two programs around a raw container of a pod: one brings its inputs before it starts, the other takes its outputs
 * after it has ended.
 *
 * Promise: whatever goes wrong is in the attempt's error.pb, or, while the store is away, in the last lines that the
 * container wrote. Exit code 0: a result is stored. 1: none is. 143: told to stop.
 */
import { mkdir } from "node:fs/promises";
import { fromBinary } from "@bufbuild/protobuf";
import { type Inputs, InputsSchema } from "@flyte-ts/contract/flyteidl2/task/common_pb.ts";
import type { ObjectStore } from "@flyte-ts/platform/object-store";
import type { DownloadJob, UploadJob } from "./command.ts";
import { waitForExit } from "./exit-file.ts";
import { type Patience, patiently } from "./patience.ts";
import { settle } from "./settle.ts";
import { stageInputs } from "./stage-inputs.ts";
import { errorDocument, explained, StagingError } from "./staging-error.ts";

export type CopilotStore = Pick<ObjectStore, "get" | "put" | "stream" | "list">;

export interface CopilotParts {
  /** Not before something is to be done: a store takes more memory than waiting for hours should. */
  openStore(): Promise<CopilotStore>;
  /** One line of the container's log. */
  say(line: string): void;
  signal: AbortSignal;
}

const MAX_INPUT_BYTES = 64 << 20;
const TERMINATED = 143;

export async function runDownload(job: DownloadJob, parts: CopilotParts): Promise<number> {
  const store = await parts.openStore();
  const patience = patienceOf(job, parts, parts.signal);
  return guarded(job, parts, store, "InputDownloadFailed", async () => {
    const inputs = job.inputUri === "" ? undefined : await readInputs(store, job.inputUri, patience);
    await stageInputs({ store, inputs, config: job.config, folder: job.folder, seenAs: job.seenAs, patience });
    parts.say(`${inputs?.literals.length ?? 0} inputs are in ${job.seenAs}`);
    return 0;
  });
}

export async function runUpload(job: UploadJob, parts: CopilotParts): Promise<number> {
  await mkdir(job.folder, { recursive: true });
  const exitCode = await waitForExit(job.exitFile, parts.signal);
  if (exitCode === undefined) return TERMINATED;
  const store = await parts.openStore();
  // From here on a signal changes nothing: what is not stored within the pod's grace is lost.
  const patience = patienceOf(job, parts, undefined);
  return guarded(job, parts, store, "OutputUploadFailed", async () => {
    const settled = await settle({ ...job, store, exitCode, patience });
    parts.say(`the task ended with exit code ${exitCode}; stored: ${settled}`);
    return 0;
  });
}

async function readInputs(store: CopilotStore, uri: string, patience: Patience): Promise<Inputs> {
  let bytes: Uint8Array;
  try {
    bytes = await patiently(patience, () => store.get(uri, { maxBytes: MAX_INPUT_BYTES }));
  } catch (error) {
    throw explained(error, "the action's inputs.pb", { missing: "InputNotFound" });
  }
  try {
    return fromBinary(InputsSchema, bytes);
  } catch (cause) {
    const message = `the action's inputs ${uri} cannot be read: ${(cause as Error).message}`;
    throw new StagingError(message, { code: "InputUnreadable", kind: "system", recoverable: false }, { cause });
  }
}

/** An error that nobody foresaw is told like the others: nobody looks into an init container first. */
async function guarded(
  job: DownloadJob | UploadJob,
  parts: CopilotParts,
  store: CopilotStore,
  code: string,
  act: () => Promise<number>,
): Promise<number> {
  try {
    return await act();
  } catch (error) {
    if (parts.signal.aborted && (error as Error).name === "AbortError") return TERMINATED;
    const known =
      error instanceof StagingError
        ? error
        : new StagingError((error as Error).message, { code, kind: "system", recoverable: true }, { cause: error });
    parts.say(known.message);
    try {
      await store.put(`${job.attemptUri}/error.pb`, errorDocument(known));
    } catch (second) {
      parts.say(`the error cannot be stored: ${(second as Error).message}`);
    }
    return 1;
  }
}

function patienceOf(job: DownloadJob | UploadJob, { say }: CopilotParts, signal: AbortSignal | undefined): Patience {
  return {
    ms: job.patienceSeconds * 1000,
    ...(signal ? { signal } : {}),
    onTrouble: (error, waitMs) => say(`${error.message}; trying again in ${waitMs / 1000} s`),
  };
}
