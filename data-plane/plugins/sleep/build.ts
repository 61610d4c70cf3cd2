/**
 * How long a `core-sleep` action sleeps. Pure.
 *
 * Two forms, the first that is there counts:
 * 1. inline, without an object to read: `custom: { duration_ms: 1500 }` in the task template;
 * 2. as the Python SDK's `flyte.extras.Sleep` sends it: a task input called `duration` (or the only input there is), a
 *    duration, or a number of seconds.
 */
import type { JsonObject } from "@bufbuild/protobuf";
import type { Literal } from "@flyte-ts/contract/flyteidl2/core/literals_pb.ts";
import type { Inputs } from "@flyte-ts/contract/flyteidl2/task/common_pb.ts";
import { toMs } from "@flyte-ts/core";

/** Milliseconds; undefined when the task says nothing inline. A string says what is wrong. */
export function inlineDuration(custom: JsonObject | undefined): number | string | undefined {
  const value = custom?.duration_ms;
  if (value === undefined) return undefined;
  return typeof value === "number" ? checked(value) : "custom.duration_ms must be a number of milliseconds";
}

/** Milliseconds, or what is wrong. */
export function inputDuration(inputs: Inputs): number | string {
  const named = inputs.literals.find((literal) => literal.name === "duration");
  const input = named ?? (inputs.literals.length === 1 ? inputs.literals[0] : undefined);
  if (!input) return "it has no input called `duration`";
  const ms = literalMs(input.value);
  return ms === undefined ? `its input \`${input.name}\` is neither a duration nor a number of seconds` : checked(ms);
}

function literalMs(literal: Literal | undefined): number | undefined {
  if (literal?.value.case !== "scalar") return undefined;
  const scalar = literal.value.value.value;
  if (scalar.case === "union") return literalMs(scalar.value.value);
  if (scalar.case !== "primitive") return undefined;
  const primitive = scalar.value.value;
  if (primitive.case === "duration") return toMs(primitive.value);
  if (primitive.case === "integer" || primitive.case === "floatValue") return Number(primitive.value) * 1000;
  return undefined;
}

function checked(ms: number): number | string {
  return Number.isFinite(ms) && ms >= 0 ? ms : "a sleep cannot last a negative or infinite time";
}
