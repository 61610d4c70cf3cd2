/**
 * One literal as a file, or a folder of them: texts and numbers in their text form, files as they are, directories and
 * lists as folders.
 */
import { mkdir, rmdir, writeFile } from "node:fs/promises";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type Blob,
  type Literal,
  LiteralSchema,
  type Scalar,
  ScalarSchema,
} from "@flyte-ts/contract/flyteidl2/core/literals_pb.ts";
import { BlobType_BlobDimensionality } from "@flyte-ts/contract/flyteidl2/core/types_pb.ts";
import type { ObjectStore } from "@flyte-ts/platform/object-store";
// Not the whole room: it would load an object store, which a container that waits has no memory for.
import { literalText } from "../task-code/templates.ts";
import { all, type limiter } from "./at-once.ts";
import { below, fetchObject, placeFor } from "./fetch-object.ts";
import { fileOf } from "./paths.ts";
import type { Patience } from "./patience.ts";
import { unstageable } from "./staging-error.ts";

export interface Placing {
  store: Pick<ObjectStore, "stream" | "list">;
  patience: Patience | undefined;
  limit: ReturnType<typeof limiter>;
  /** A file keeps the last part of its URI, in a folder that has the input's name. */
  named: boolean;
  /** A path of this machine as the task sees it. */
  seenAs(path: string): string;
}

/** What was placed: as JSON tells it, and as a literal whose files are those on the disk. */
export interface Placed {
  value: unknown;
  literal: Literal;
}

/** Throws an Error without the input's name, which the caller knows. */
export async function placeLiteral(placing: Placing, literal: Literal | undefined, path: string): Promise<Placed> {
  switch (literal?.value.case) {
    case "scalar":
      return placeScalar(placing, literal.value.value, path);
    case "collection": {
      const items = literal.value.value.literals;
      const named = placing.named ? baseNames(items) : undefined;
      const names = named ?? items.map((_, index) => String(index));
      const placed = await placeAll(placing, items, names, path);
      const literals = placed.map((one) => one.literal);
      return {
        value: placed.map(({ value }) => value),
        literal: create(LiteralSchema, { value: { case: "collection", value: { literals } } }),
      };
    }
    case "map": {
      const entries = Object.entries(literal.value.value.literals);
      const names = entries.map(([name]) => name);
      const placed = await placeAll(
        placing,
        entries.map(([, item]) => item),
        names,
        path,
      );
      const literals = Object.fromEntries(placed.map((one, index) => [names[index], one.literal]));
      return {
        value: Object.fromEntries(placed.map(({ value }, index) => [names[index], value])),
        literal: create(LiteralSchema, { value: { case: "map", value: { literals } } }),
      };
    }
    default:
      throw unstageable("cannot be given to a container as a file");
  }
}

async function placeAll(
  placing: Placing,
  items: readonly Literal[],
  names: readonly string[],
  folder: string,
): Promise<Placed[]> {
  await mkdir(folder, { recursive: true });
  const inner: Placing = { ...placing, named: false };
  return all(items.map((item, index) => placeLiteral(inner, item, fileOf(folder, names[index] ?? ""))));
}

async function placeScalar(placing: Placing, scalar: Scalar, path: string): Promise<Placed> {
  const { case: kind, value } = scalar.value;
  const kept = async (content: string | Uint8Array, told: unknown): Promise<Placed> => {
    await writeFile(path, content);
    return { value: told, literal: literalOf(scalar) };
  };
  switch (kind) {
    case "primitive": {
      const text = literalText(literalOf(scalar)) ?? "";
      const { case: type, value: own } = value.value;
      return kept(text, type === "datetime" || type === "duration" ? text : own);
    }
    case "binary":
      return kept(value.value, Buffer.from(value.value).toString("base64"));
    case "generic":
      return kept(JSON.stringify(value), value);
    case "noneType":
      return kept("null", null);
    case "error":
      return kept(value.message, value.message);
    case "union":
      return placeLiteral(placing, value.value, path);
    case "blob": {
      const uri = placing.seenAs(await placeBlob(placing, value, path));
      return { value: uri, literal: literalOf({ value: { case: "blob", value: { ...value, uri } } }) };
    }
    case "schema":
    case "structuredDataset": {
      const uri = placing.seenAs(path);
      await placeTable(placing, value.uri, path);
      const moved = { case: kind, value: { ...value, uri } } as Scalar["value"];
      return { value: uri, literal: literalOf({ value: moved }) };
    }
    default:
      throw unstageable("cannot be given to a container as a file");
  }
}

function literalOf(scalar: MessageInitShape<typeof ScalarSchema>): Literal {
  return create(LiteralSchema, { value: { case: "scalar", value: create(ScalarSchema, scalar) } });
}

/** Returns where the file or folder is. */
async function placeBlob(placing: Placing, blob: Blob, path: string): Promise<string> {
  if (isFolder(blob)) {
    await placeFolder(placing, blob.uri, path);
    return path;
  }
  if (!placing.named) {
    await fetched(placing, blob.uri, path);
    return path;
  }
  await mkdir(path, { recursive: true });
  const inside = fileOf(path, baseName(blob.uri));
  await fetched(placing, blob.uri, inside);
  return inside;
}

/** Returns how many objects there were. */
async function placeFolder(placing: Placing, uri: string, path: string): Promise<number> {
  await mkdir(path, { recursive: true });
  const fetches: Promise<number>[] = [];
  try {
    for await (const object of below(placing.store, uri, placing.patience)) {
      const place = await placeFor(path, object.path);
      if (place !== undefined) fetches.push(fetched(placing, object.uri, place));
    }
    return (await all(fetches)).length;
  } finally {
    await Promise.allSettled(fetches);
  }
}

/** Tables are one file or a folder of them; only a look tells. */
async function placeTable(placing: Placing, uri: string, path: string): Promise<void> {
  if ((await placeFolder(placing, uri, path)) > 0) return;
  await rmdir(path);
  await fetched(placing, uri, path);
}

function fetched({ store, patience, limit }: Placing, uri: string, path: string): Promise<number> {
  return limit(() => fetchObject(store, uri, path, patience));
}

function isFolder(blob: Blob): boolean {
  return blob.metadata?.type?.dimensionality === BlobType_BlobDimensionality.MULTIPART;
}

function fileUri(literal: Literal): string | undefined {
  const scalar = literal.value.case === "scalar" ? literal.value.value.value : undefined;
  return scalar?.case === "blob" && !isFolder(scalar.value) ? scalar.value.uri : undefined;
}

function baseName(uri: string): string {
  return uri.slice(uri.lastIndexOf("/") + 1);
}

/** Of files that are in one list: what was there already gets its number before it. Undefined unless all are files. */
function baseNames(items: readonly Literal[]): string[] | undefined {
  const used = new Set<string>();
  const names: string[] = [];
  for (const item of items) {
    const uri = fileUri(item);
    if (uri === undefined) return undefined;
    const base = baseName(uri) || String(names.length);
    let name = base;
    for (let number = 1; used.has(name); number++) name = `${number}_${base}`;
    used.add(name);
    names.push(name);
  }
  return names;
}
