/**
 * The hash of a task's inputs, and the key under which its outputs are cached.
 *
 * Promise: both are exactly what the Python SDK's in-task controller computes for a child (`runtime/convert.py`:
 * `generate_inputs_hash_for_named_literals`, `generate_cache_key_hash`), so a root action and a child with the same task
 * and inputs share one cache entry. A literal that carries a content hash counts by that hash, not by its bytes or URI.
 *
 *     const inputsHash = inputsHash(inputs, metadata.cacheIgnoreInputVars);
 *     cacheKey({ inputsHash, taskName: "env.square", interface: template.interface, cacheVersion: "1" });
 */
import { createHash } from "node:crypto";
import { clone, create } from "@bufbuild/protobuf";
import {
  type TypedInterface,
  TypedInterfaceSchema,
  type VariableMap,
} from "@flyte-ts/contract/flyteidl2/core/interface_pb.ts";
import { type Literal, LiteralSchema } from "@flyte-ts/contract/flyteidl2/core/literals_pb.ts";
import type { Inputs, NamedLiteral } from "@flyte-ts/contract/flyteidl2/task/common_pb.ts";
import { canonicalMsgpack } from "./canonical-msgpack.ts";
import { deterministicBinary } from "./deterministic-binary.ts";

/**
 * Stands for the hash of no inputs at all. The SDK's is the empty string, which the contract forbids in
 * `OffloadedInputData.inputs_hash`; {@link cacheKey} reads both alike. No base64 text can equal it.
 */
export const NO_INPUTS_HASH = "-";

/** SHA-256 in base64 over names and values in the order given; {@link NO_INPUTS_HASH} when nothing is left to hash. */
export function inputsHash(inputs: Pick<Inputs, "literals"> | undefined, ignoredVars: readonly string[]): string {
  const literals = (inputs?.literals ?? []).filter((named) => !ignoredVars.includes(named.name));
  if (literals.length === 0) return NO_INPUTS_HASH;
  return sha256(Buffer.concat(literals.flatMap(namedLiteralParts)));
}

export interface CacheKeyParts {
  /** From {@link inputsHash}, or as the client sent it. */
  inputsHash: string;
  /** The task's own name, such as `env.square`, without project, domain and version. */
  taskName: string;
  interface: TypedInterface | undefined;
  /** `TaskMetadata.discovery_version`. */
  cacheVersion: string;
}

/** SHA-256 in base64, the `cache_key` of a task action. */
export function cacheKey(parts: CacheKeyParts): string {
  const hash = parts.inputsHash === NO_INPUTS_HASH ? "" : parts.inputsHash;
  return sha256(`${hash}${parts.taskName}${interfaceHash(parts.interface)}${parts.cacheVersion}`);
}

/** Independent of the order in which the variables are declared. */
function interfaceHash(typed: TypedInterface | undefined): string {
  const sorted = typed ? clone(TypedInterfaceSchema, typed) : create(TypedInterfaceSchema);
  sortVariables(sorted.inputs);
  sortVariables(sorted.outputs);
  return sha256(deterministicBinary(TypedInterfaceSchema, sorted));
}

function sortVariables(map: VariableMap | undefined): void {
  map?.variables.sort((a, b) => compareUtf8(a.key, b.key));
}

function namedLiteralParts(named: NamedLiteral): Uint8Array[] {
  return [Buffer.from(named.name), colon, ...literalParts(named.value), semicolon];
}

const colon = Buffer.from(":");
const semicolon = Buffer.from(";");

/** What a literal contributes to the hash. Only list and map literals are looked into for content hashes. */
function literalParts(literal: Literal | undefined): Uint8Array[] {
  if (!literal) return [];
  if (literal.hash !== "") return [Buffer.from(literal.hash)];
  const { value } = literal;
  switch (value.case) {
    case "collection":
      return value.value.literals.flatMap(literalParts);
    case "map":
      return Object.entries(value.value.literals)
        .sort(([a], [b]) => compareUtf8(a, b))
        .flatMap(([key, nested]) => [Buffer.from(key), ...literalParts(nested)]);
    default:
      return [deterministicBinary(LiteralSchema, withCanonicalMsgpack(literal))];
  }
}

function withCanonicalMsgpack(literal: Literal): Literal {
  const scalar = literal.value.case === "scalar" ? literal.value.value.value : undefined;
  if (scalar?.case !== "binary" || scalar.value.tag !== "msgpack") return literal;
  const canonical = canonicalMsgpack(scalar.value.value);
  if (Buffer.compare(canonical, scalar.value.value) === 0) return literal;
  const copy = clone(LiteralSchema, literal);
  if (copy.value.case === "scalar" && copy.value.value.value.case === "binary") {
    copy.value.value.value.value.value = canonical;
  }
  return copy;
}

/** By code point, as Python sorts text. */
function compareUtf8(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

function sha256(data: string | Uint8Array): string {
  return createHash("sha256").update(data).digest("base64");
}
