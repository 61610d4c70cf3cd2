/**
 * The rules on single values that quick-check knows: lengths, patterns, bounds, sets, items and pairs.
 *
 * Promise: a compiled check never says yes to a value that breaks its rules; any rule not known is "unknown".
 */
import type { DescField, DescMessage, Message, MessageShape } from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";
import type { Duration } from "@bufbuild/protobuf/wkt";
import * as rulesOf from "@flyte-ts/contract/buf/validate/validate_pb.ts";

export type Check = (value: unknown) => boolean;
type Compiled = Check | "unknown" | undefined;

const everyValue = new Set(["required", "ignore"]);

/** A check for a field's value (a list or map as a whole), undefined if there is nothing to check. */
export function compileValueRules(field: DescField, rules: rulesOf.FieldRules, nested: Check | undefined): Compiled {
  if (!knows(rulesOf.FieldRulesSchema, rules, new Set([...everyValue, rules.type.case ?? ""]))) return "unknown";
  if (rules.ignore !== rulesOf.Ignore.UNSPECIFIED) return "unknown";
  if (field.fieldKind === "list") return listCheck(field, rules, nested);
  if (field.fieldKind === "map") return mapCheck(rules, nested);
  return both(scalarCheck(field, rules), nested);
}

function scalarCheck(field: DescField, rules: rulesOf.FieldRules): Compiled {
  const { type } = rules;
  switch (type.case) {
    case undefined:
      return undefined;
    case "string":
      return stringCheck(type.value);
    case "bytes":
      return bytesCheck(type.value);
    case "enum":
      return enumCheck(field, type.value);
    case "duration":
      return durationCheck(type.value);
    case "int32":
      return numberCheck(rulesOf.Int32RulesSchema, type.value);
    case "int64":
      return numberCheck(rulesOf.Int64RulesSchema, type.value);
    case "uint32":
      return numberCheck(rulesOf.UInt32RulesSchema, type.value);
    case "uint64":
      return numberCheck(rulesOf.UInt64RulesSchema, type.value);
    case "double":
      return numberCheck(rulesOf.DoubleRulesSchema, type.value);
    default:
      return "unknown";
  }
}

function stringCheck(rules: rulesOf.StringRules): Compiled {
  if (!knows(rulesOf.StringRulesSchema, rules, new Set(["minLen", "maxLen", "pattern", "in"]))) return "unknown";
  // only the plain part of RE2 that means the same in JavaScript
  if (/\\|\(\?[^:]/.test(rules.pattern)) return "unknown";
  const min = Number(rules.minLen);
  const max = rules.maxLen === 0n ? Number.POSITIVE_INFINITY : Number(rules.maxLen);
  const pattern = rules.pattern === "" ? undefined : new RegExp(rules.pattern, "u");
  const allowed = rules.in.length === 0 ? undefined : new Set(rules.in);
  return (value) => {
    const text = value as string;
    // the rules count characters: never more than UTF-16 units, never less than half of them
    const { length } = text;
    const sure = length <= max && length >= 2 * min;
    const inBounds = sure || between(characters(text), min, max);
    return inBounds && (pattern === undefined || pattern.test(text)) && (allowed === undefined || allowed.has(text));
  };
}

function between(value: number, min: number, max: number): boolean {
  return value >= min && value <= max;
}

function characters(text: string): number {
  let count = 0;
  for (const _ of text) count++;
  return count;
}

function bytesCheck(rules: rulesOf.BytesRules): Compiled {
  if (!knows(rulesOf.BytesRulesSchema, rules, new Set(["len", "minLen", "maxLen"]))) return "unknown";
  const min = Number(rules.len || rules.minLen);
  const max = Number(rules.len || rules.maxLen) || Number.POSITIVE_INFINITY;
  return (value) => (value as Uint8Array).byteLength >= min && (value as Uint8Array).byteLength <= max;
}

function enumCheck(field: DescField, rules: rulesOf.EnumRules): Compiled {
  if (!knows(rulesOf.EnumRulesSchema, rules, new Set(["definedOnly", "in", "notIn"]))) return "unknown";
  const defined = rules.definedOnly ? new Set(field.enum?.values.map((value) => value.number)) : undefined;
  const allowed = rules.in.length === 0 ? undefined : new Set(rules.in);
  const refused = new Set(rules.notIn);
  return (value) => {
    const number = value as number;
    return (defined?.has(number) ?? true) && (allowed?.has(number) ?? true) && !refused.has(number);
  };
}

interface Bounds<T> {
  lessThan: { case: "lt" | "lte" | undefined; value?: T | undefined };
  greaterThan: { case: "gt" | "gte" | undefined; value?: T | undefined };
}
const boundsOnly = new Set(["lt", "lte", "gt", "gte"]);

function numberCheck<D extends DescMessage>(schema: D, rules: MessageShape<D> & Bounds<number | bigint>): Compiled {
  return knows(schema, rules, boundsOnly) ? boundsCheck(rules, (value) => value as number | bigint) : "unknown";
}

function durationCheck(rules: rulesOf.DurationRules): Compiled {
  if (!knows(rulesOf.DurationRulesSchema, rules, boundsOnly)) return "unknown";
  return boundsCheck<Duration>(rules as Bounds<Duration>, (value) => nanos(value as Duration), nanos);
}

function nanos(duration: Duration): bigint {
  return duration.seconds * 1_000_000_000n + BigInt(duration.nanos);
}

function boundsCheck<T>(
  { lessThan, greaterThan }: Bounds<T>,
  read: (value: unknown) => number | bigint,
  limit: (value: T) => number | bigint = (value) => value as unknown as number | bigint,
): Compiled {
  const lower = greaterThan.value === undefined ? undefined : limit(greaterThan.value);
  const upper = lessThan.value === undefined ? undefined : limit(lessThan.value);
  // "less than 1 or greater than 5": legal, rare, not ours
  if (lower !== undefined && upper !== undefined && upper <= lower) return "unknown";
  const lowest = greaterThan.case === "gte";
  const highest = lessThan.case === "lte";
  return (value) => {
    const number = read(value);
    if (lower !== undefined && !(lowest ? number >= lower : number > lower)) return false;
    return upper === undefined || (highest ? number <= upper : number < upper);
  };
}

function listCheck(field: DescField, rules: rulesOf.FieldRules, nested: Check | undefined): Compiled {
  if (rules.type.case === undefined) return nested && ((values) => (values as unknown[]).every(nested));
  if (rules.type.case !== "repeated") return "unknown";
  const own = rules.type.value;
  if (!knows(rulesOf.RepeatedRulesSchema, own, new Set(["minItems", "maxItems", "items"]))) return "unknown";
  const item = both(itemCheck(field, own.items), nested);
  if (item === "unknown") return "unknown";
  const min = Number(own.minItems);
  const max = own.maxItems === 0n ? Number.POSITIVE_INFINITY : Number(own.maxItems);
  return (value) => {
    const values = value as unknown[];
    return values.length >= min && values.length <= max && (item === undefined || values.every(item));
  };
}

function mapCheck(rules: rulesOf.FieldRules, nested: Check | undefined): Compiled {
  if (rules.type.case !== undefined) return "unknown";
  return nested && ((values) => Object.values(values as object).every(nested));
}

function itemCheck(field: DescField, rules: rulesOf.FieldRules | undefined): Compiled {
  if (rules === undefined) return undefined;
  if (rules.ignore !== rulesOf.Ignore.UNSPECIFIED) return "unknown";
  if (!knows(rulesOf.FieldRulesSchema, rules, new Set([rules.type.case ?? ""]))) return "unknown";
  return scalarCheck(field, rules);
}

function both(first: Compiled, second: Check | undefined): Compiled {
  if (first === "unknown") return "unknown";
  if (first === undefined || second === undefined) return first ?? second;
  return (value) => first(value) && second(value);
}

/** True if no rule is set beyond the named ones. */
function knows<D extends DescMessage>(schema: D, rules: MessageShape<D>, names: ReadonlySet<string>): boolean {
  if (((rules as Message).$unknown?.length ?? 0) > 0) return false;
  const message = reflect(schema, rules);
  return message.fields.every((field) => !message.isSet(field) || names.has(field.localName));
}
