/** One file or folder that a task left, as the value that the task declares. */
import { readFile } from "node:fs/promises";
import { create, type JsonObject, type MessageInitShape } from "@bufbuild/protobuf";
import {
  type Literal,
  LiteralSchema,
  PrimitiveSchema,
  ScalarSchema,
} from "@flyte-ts/contract/flyteidl2/core/literals_pb.ts";
import {
  type BlobType,
  BlobType_BlobDimensionality,
  type LiteralType,
  SimpleType,
} from "@flyte-ts/contract/flyteidl2/core/types_pb.ts";
import type { Found } from "./paths.ts";
import { parsePrimitive } from "./primitive-text.ts";
import { StagingError, unstageable } from "./staging-error.ts";
import { type FileTarget, storeFile, storeFolder } from "./store-files.ts";

export interface OutputParts extends FileTarget {
  found: Found;
  /** Where a file or folder goes. */
  uri: string;
}

/** Values are part of outputs.pb, which everybody reads who looks at the action. */
const MAX_VALUE_BYTES = 1 << 20;

/** Throws a {@link StagingError} that says what is wrong with the output. */
export async function outputLiteral(parts: OutputParts, type: LiteralType | undefined): Promise<Literal> {
  const { name, found } = parts;
  if (found.kind === "unusable") throw invalid(name, `cannot be taken: ${found.why}`);
  const { case: kind, value } = type?.type ?? { case: undefined };
  switch (kind) {
    case "blob":
      return blobLiteral(parts, value);
    case "simple":
      return simpleLiteral(parts, value);
    case "enumType": {
      const word = (await content(parts)).toString("utf8").trim();
      if (!value.values.includes(word)) throw invalid(name, `is none of ${value.values.join(", ")}`);
      return primitive({ case: "stringValue", value: word });
    }
    case "unionType":
      return unionLiteral(parts, value.variants);
    default:
      throw unstageable(
        `its output \`${name}\` has a type that cannot be made from a file: declare a file, a folder, a text or a number`,
      );
  }
}

async function blobLiteral(parts: OutputParts, type: BlobType): Promise<Literal> {
  const { name, found, uri } = parts;
  const folder = type.dimensionality === BlobType_BlobDimensionality.MULTIPART;
  if (found.kind === "file" && !folder) await storeFile(parts, found.path, found.size, uri);
  else if (found.kind === "folder" && folder) await storeFolder(parts, found.path, uri);
  else if (found.kind === "none") throw missing(name, folder);
  else
    throw invalid(
      name,
      folder ? "is a file, and the task declares a folder" : "is a folder, and the task declares a file",
    );
  return scalar({ case: "blob", value: { uri, metadata: { type } } });
}

async function simpleLiteral(parts: OutputParts, type: SimpleType): Promise<Literal> {
  if (type === SimpleType.NONE) return scalar({ case: "noneType", value: {} });
  const bytes = await content(parts);
  if (type === SimpleType.BINARY) return scalar({ case: "binary", value: { value: bytes } });
  if (type === SimpleType.STRUCT) return scalar({ case: "generic", value: jsonObject(parts.name, bytes) });
  const value = parsePrimitive(bytes.toString("utf8"), type);
  if (!value) throw invalid(parts.name, "cannot be read as the type that the task declares");
  return primitive(value);
}

/** The first alternative that fits; nothing at all is None where that is one of them. */
async function unionLiteral(parts: OutputParts, variants: readonly LiteralType[]): Promise<Literal> {
  const none = variants.find(({ type }) => type.case === "simple" && type.value === SimpleType.NONE);
  const others = variants.filter((variant) => variant !== none);
  const candidates = parts.found.kind === "none" && none ? [none] : others;
  let reason: unknown = unstageable(`its output \`${parts.name}\` has a type without any alternative`);
  for (const type of candidates) {
    try {
      return scalar({ case: "union", value: { value: await outputLiteral(parts, type), type } });
    } catch (error) {
      if (!(error instanceof StagingError)) throw error;
      reason = error;
    }
  }
  throw reason;
}

/** The whole of a small file. */
async function content({ name, found }: OutputParts): Promise<Buffer> {
  if (found.kind === "none") throw missing(name, false);
  if (found.kind !== "file") throw invalid(name, "is a folder, and the task declares a value");
  if (found.size > MAX_VALUE_BYTES) {
    throw invalid(
      name,
      `has ${found.size} bytes, more than the ${MAX_VALUE_BYTES} that a value may have: declare it as a file`,
      "OutputTooLarge",
    );
  }
  return readFile(found.path);
}

function jsonObject(name: string, bytes: Buffer): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(bytes.toString("utf8"));
  } catch {
    value = undefined;
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as JsonObject;
  throw invalid(name, "is no JSON object, as which the task declares it");
}

function primitive(value: MessageInitShape<typeof PrimitiveSchema>["value"]): Literal {
  return scalar({ case: "primitive", value: create(PrimitiveSchema, { value }) });
}

function scalar(value: MessageInitShape<typeof ScalarSchema>["value"]): Literal {
  return create(LiteralSchema, { value: { case: "scalar", value: create(ScalarSchema, { value }) } });
}

function missing(name: string, folder: boolean): StagingError {
  const message = `the task left no ${folder ? "folder" : "file"} for its output \`${name}\``;
  return new StagingError(message, { code: "OutputsMissing", kind: "user", recoverable: true });
}

function invalid(name: string, what: string, code = "OutputInvalid"): StagingError {
  return new StagingError(`its output \`${name}\` ${what}`, { code, kind: "user", recoverable: true });
}
