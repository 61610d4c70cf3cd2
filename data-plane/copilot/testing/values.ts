/** Literals, types and stores for tests. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type VariableMap, VariableMapSchema } from "@flyte-ts/contract/flyteidl2/core/interface_pb.ts";
import {
  type Literal,
  LiteralSchema,
  PrimitiveSchema,
  type ScalarSchema,
} from "@flyte-ts/contract/flyteidl2/core/literals_pb.ts";
import {
  BlobType_BlobDimensionality,
  type LiteralType,
  LiteralTypeSchema,
  SimpleType,
} from "@flyte-ts/contract/flyteidl2/core/types_pb.ts";
import { type Inputs, InputsSchema } from "@flyte-ts/contract/flyteidl2/task/common_pb.ts";
import { openFileStore } from "@flyte-ts/platform/object-store";

/** A folder of this test's own, and an object store. */
export async function room(t: TestContext) {
  const path = await mkdtemp(join(tmpdir(), "flyte-ts-copilot-"));
  const store = await openFileStore({ folder: join(path, "objects"), root: "s3://flyte-data", sync: "none" });
  t.after(async () => {
    await store.close();
    await rm(path, { recursive: true, force: true });
  });
  return { path, store };
}

export function scalar(value: MessageInitShape<typeof ScalarSchema>["value"]): Literal {
  return create(LiteralSchema, { value: { case: "scalar", value: { value } } });
}

export function primitive(value: MessageInitShape<typeof PrimitiveSchema>["value"]): Literal {
  return scalar({ case: "primitive", value: create(PrimitiveSchema, { value }) });
}

export const text = (value: string) => primitive({ case: "stringValue", value });
export const integer = (value: bigint) => primitive({ case: "integer", value });
export const blob = (uri: string, folder = false) =>
  scalar({ case: "blob", value: { uri, metadata: { type: { dimensionality: folder ? 1 : 0 } } } });
export const list = (...literals: Literal[]): Literal =>
  create(LiteralSchema, { value: { case: "collection", value: { literals } } });

export function inputsOf(values: Record<string, Literal>): Inputs {
  return create(InputsSchema, { literals: Object.entries(values).map(([name, value]) => ({ name, value })) });
}

const typeOf = (type: MessageInitShape<typeof LiteralTypeSchema>["type"]) => create(LiteralTypeSchema, { type });
export const simple = (value: SimpleType) => typeOf({ case: "simple", value });
export const FILE = typeOf({ case: "blob", value: { dimensionality: BlobType_BlobDimensionality.SINGLE } });
export const FOLDER = typeOf({ case: "blob", value: { dimensionality: BlobType_BlobDimensionality.MULTIPART } });
export const optional = (type: LiteralType) =>
  typeOf({ case: "unionType", value: { variants: [type, simple(SimpleType.NONE)] } });
export const choice = (...values: string[]) => typeOf({ case: "enumType", value: { values } });
export const listOf = (value: LiteralType) => typeOf({ case: "collectionType", value });

export function outputsOf(types: Record<string, LiteralType>): VariableMap {
  return create(VariableMapSchema, {
    variables: Object.entries(types).map(([key, type]) => ({ key, value: { type } })),
  });
}
