/**
 * Inputs of a task that knows nothing of Flyte: each is a file, or a folder, below one folder; all of them together are
 * also told in one document (`inputs.pb`, and `inputs.json` or `inputs.yaml`), with the places of the files in it.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import {
  type DataLoadingConfig,
  DataLoadingConfig_FileInputLayout,
  DataLoadingConfig_LiteralMapFormat,
} from "@flyte-ts/contract/flyteidl2/core/tasks_pb.ts";
import { type Inputs, InputsSchema } from "@flyte-ts/contract/flyteidl2/task/common_pb.ts";
import type { ObjectStore } from "@flyte-ts/platform/object-store";
import { stringify } from "yaml";
import { all, limiter } from "./at-once.ts";
import { fileOf } from "./paths.ts";
import type { Patience } from "./patience.ts";
import { type Placing, placeLiteral } from "./place-literal.ts";
import { explained, StagingError } from "./staging-error.ts";

export interface StageInputs {
  store: Pick<ObjectStore, "stream" | "list">;
  inputs: Inputs | undefined;
  config: Pick<DataLoadingConfig, "format" | "fileInputLayout">;
  /** Made when it is not there. */
  folder: string;
  /** The folder as the task sees it; the same when absent. */
  seenAs?: string;
  /** Without it, trouble of the store is thrown at once. */
  patience?: Patience;
}

/** Files at once: they are streams, so that memory stays small. */
const AT_ONCE = 4;

/** Throws a {@link StagingError} that names the input that cannot be a file, or the store's own error when it is away. */
export async function stageInputs(options: StageInputs): Promise<void> {
  const { folder, inputs, config, seenAs = folder } = options;
  await mkdir(folder, { recursive: true });
  const placing: Placing = {
    store: options.store,
    patience: options.patience,
    limit: limiter(AT_ONCE),
    named: config.fileInputLayout === DataLoadingConfig_FileInputLayout.NAMED_DIR,
    seenAs: (path) => join(seenAs, path.slice(folder.length)),
  };
  const entries = inputs?.literals ?? [];
  const placed = await all(
    entries.map(async ({ name, value }) => {
      try {
        return { name, ...(await placeLiteral(placing, value, fileOf(folder, name))) };
      } catch (error) {
        throw ofInput(error, name);
      }
    }),
  );
  const literals = placed.map(({ name, literal }) => ({ name, value: literal }));
  await writeFile(join(folder, "inputs.pb"), toBinary(InputsSchema, create(InputsSchema, { literals })));
  const values = Object.fromEntries(placed.map(({ name, value }) => [name, value]));
  if (config.format === DataLoadingConfig_LiteralMapFormat.JSON) {
    await writeFile(join(folder, "inputs.json"), json(values));
  } else if (config.format === DataLoadingConfig_LiteralMapFormat.YAML) {
    await writeFile(join(folder, "inputs.yaml"), stringify(values));
  }
}

function ofInput(error: unknown, name: string): unknown {
  const known = explained(error, `the input \`${name}\``, { missing: "InputNotFound" });
  if (!(known instanceof StagingError) || known.message.includes("`")) return known;
  return new StagingError(`the input \`${name}\` ${known.message}`, known, { cause: known });
}

/** Integers are 64 bits wide, wider than the numbers that JSON.stringify knows. */
function json(values: unknown): string {
  const { rawJSON } = JSON as unknown as { rawJSON(text: string): unknown };
  return JSON.stringify(values, (_, value: unknown) => (typeof value === "bigint" ? rawJSON(String(value)) : value));
}
