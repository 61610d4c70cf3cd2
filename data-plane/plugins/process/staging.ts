/**
 * Inputs and outputs of tasks that know nothing of Flyte (`data_config`, the SDK's ContainerTask): each input is a file
 * below one folder, each output is expected as a file below another. Containers have `/var/inputs` and `/var/outputs`
 * for themselves; here every attempt has folders of its own, and its command line is made to name them.
 *
 * Texts, numbers, booleans, times and single files; anything else is refused with its name.
 */
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { create, toBinary } from "@bufbuild/protobuf";
import {
  type Literal,
  LiteralSchema,
  type Primitive,
  PrimitiveSchema,
} from "@flyte-ts/contract/flyteidl2/core/literals_pb.ts";
import type { DataLoadingConfig, TaskTemplate } from "@flyte-ts/contract/flyteidl2/core/tasks_pb.ts";
import {
  BlobType_BlobDimensionality,
  type LiteralType,
  SimpleType,
} from "@flyte-ts/contract/flyteidl2/core/types_pb.ts";
import {
  type Inputs,
  type NamedLiteral,
  NamedLiteralSchema,
  OutputsSchema,
} from "@flyte-ts/contract/flyteidl2/task/common_pb.ts";
import { toTimestamp } from "@flyte-ts/core";
import type { ObjectStore } from "@flyte-ts/platform/object-store";
import type { AttemptPlaces } from "../../executor/index.ts";
import { literalText } from "../../task-code/index.ts";

/** The attempt's own folders in place of the container's. */
export interface Staging {
  inputs: string;
  outputs: string;
}

export function stagingOf(attemptFolder: string): Staging {
  return { inputs: join(attemptFolder, "inputs"), outputs: join(attemptFolder, "outputs") };
}

/** The command line with the container's folders replaced wherever they stand as a path. */
export function relocate(argv: readonly string[], config: DataLoadingConfig, staging: Staging): string[] {
  const moves = [
    [config.inputPath, staging.inputs],
    [config.outputPath, staging.outputs],
  ] as const;
  return argv.map((arg) => {
    let text = arg;
    for (const [from, to] of moves) {
      if (from === "") continue;
      const path = from.replace(/\/+$/, "").replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
      text = text.replace(new RegExp(`(?<![\\w/.-])${path}(?![\\w.-])`, "g"), () => to);
    }
    return text;
  });
}

/** Writes the inputs as files. Throws an Error that names the input that cannot be one. */
export async function stageInputs(
  objectStore: Pick<ObjectStore, "stream">,
  staging: Staging,
  inputs: Inputs | undefined,
): Promise<void> {
  await mkdir(staging.inputs, { recursive: true });
  await mkdir(staging.outputs, { recursive: true });
  for (const { name, value } of inputs?.literals ?? []) {
    const file = fileOf(staging.inputs, name);
    const uri = blobUri(value);
    if (uri !== undefined) {
      await pipeline((await objectStore.stream(uri)).body, createWriteStream(file));
      continue;
    }
    const text = value && literalText(value);
    if (text === undefined)
      throw new UnstageableError(`the input \`${name}\` cannot be given to a container as a file`);
    await writeFile(file, text);
  }
}

/** What no retry can change. */
export class UnstageableError extends Error {
  override readonly name = "UnstageableError";
}

/** Makes outputs.pb from the files that the task left; says what is wrong when it cannot. */
export async function collectOutputs(
  objectStore: Pick<ObjectStore, "put">,
  template: TaskTemplate | undefined,
  staging: Staging,
  places: AttemptPlaces,
): Promise<string | undefined> {
  const literals: NamedLiteral[] = [];
  for (const { key, value } of template?.interface?.outputs?.variables ?? []) {
    const file = fileOf(staging.outputs, key);
    if (!(await stat(file).catch(() => undefined))?.isFile()) return `the task left no file for its output \`${key}\``;
    const literal = await outputLiteral(objectStore, file, `${places.rawDataPrefix}/${key}`, value?.type);
    if (typeof literal === "string") return `its output \`${key}\` ${literal}`;
    literals.push(create(NamedLiteralSchema, { name: key, value: literal }));
  }
  await objectStore.put(
    `${places.attemptUri}/outputs.pb`,
    toBinary(OutputsSchema, create(OutputsSchema, { literals })),
  );
  return undefined;
}

async function outputLiteral(
  objectStore: Pick<ObjectStore, "put">,
  file: string,
  uri: string,
  type: LiteralType | undefined,
): Promise<Literal | string> {
  if (type?.type.case === "blob" && type.type.value.dimensionality === BlobType_BlobDimensionality.SINGLE) {
    await objectStore.put(uri, createReadStream(file));
    const value = { uri, metadata: { type: type.type.value } };
    return create(LiteralSchema, { value: { case: "scalar", value: { value: { case: "blob", value } } } });
  }
  const value =
    type?.type.case === "simple" ? parsePrimitive(await readFile(file, "utf8"), type.type.value) : undefined;
  if (!value) return "cannot be read as the type that the task declares";
  const primitive = create(PrimitiveSchema, { value });
  return create(LiteralSchema, {
    value: { case: "scalar", value: { value: { case: "primitive", value: primitive } } },
  });
}

/** The text of a file as a value; undefined when it is none of this type. */
export function parsePrimitive(text: string, type: SimpleType): Primitive["value"] | undefined {
  const word = text.trim();
  switch (type) {
    case SimpleType.STRING:
      return { case: "stringValue", value: text };
    case SimpleType.INTEGER:
      return /^[+-]?\d+$/.test(word) ? { case: "integer", value: BigInt(word) } : undefined;
    case SimpleType.FLOAT:
      return word !== "" && !Number.isNaN(Number(word)) ? { case: "floatValue", value: Number(word) } : undefined;
    case SimpleType.BOOLEAN:
      return /^(true|false)$/i.test(word) ? { case: "boolean", value: word.toLowerCase() === "true" } : undefined;
    case SimpleType.DATETIME: {
      const at = new Date(word);
      return Number.isNaN(at.getTime()) ? undefined : { case: "datetime", value: toTimestamp(at) };
    }
    default:
      return undefined;
  }
}

function blobUri(literal: Literal | undefined): string | undefined {
  if (literal?.value.case !== "scalar") return undefined;
  const scalar = literal.value.value.value;
  return scalar.case === "blob" ? scalar.value.uri : undefined;
}

/** Names come from the task: one path segment, whatever they hold. */
function fileOf(folder: string, name: string): string {
  if (name === "" || name === "." || name === ".." || name.includes("/")) {
    throw new UnstageableError(`\`${name}\` cannot be the name of a file for an input or output`);
  }
  return join(folder, name);
}
