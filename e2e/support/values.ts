/** Literals of the wire as plain values that a test can compare; enough for what our tasks return. */
import { toJson } from "@bufbuild/protobuf";
import { DurationSchema, timestampDate } from "@bufbuild/protobuf/wkt";
import type { Literal, Primitive, Scalar } from "@flyte-ts/contract/flyteidl2/core/literals_pb.ts";

export function plainValue(literal: Literal | undefined): unknown {
  const value = literal?.value;
  switch (value?.case) {
    case "scalar":
      return ofScalar(value.value);
    case "collection":
      return value.value.literals.map(plainValue);
    case "map":
      return Object.fromEntries(Object.entries(value.value.literals).map(([key, item]) => [key, plainValue(item)]));
    case "offloadedMetadata":
      return { offloaded: value.value.uri };
    default:
      return null;
  }
}

function ofScalar({ value }: Scalar): unknown {
  switch (value.case) {
    case "primitive":
      return ofPrimitive(value.value);
    case "union":
      return plainValue(value.value.value);
    case "blob":
      return { uri: value.value.uri };
    case "binary":
      return { [value.value.tag]: Buffer.from(value.value.value).toString("latin1") };
    case "generic":
      return value.value;
    case "noneType":
      return null;
    default:
      return { [value.case ?? "nothing"]: true };
  }
}

function ofPrimitive({ value }: Primitive): unknown {
  switch (value.case) {
    case "integer":
      return Number(value.value);
    case "datetime":
      return timestampDate(value.value).toISOString();
    case "duration":
      return toJson(DurationSchema, value.value);
    default:
      return value.value;
  }
}
