/** Texts of files as values of a type. Pure. */
import { create } from "@bufbuild/protobuf";
import { type Duration, DurationSchema, type Timestamp, TimestampSchema } from "@bufbuild/protobuf/wkt";
import type { Primitive } from "@flyte-ts/contract/flyteidl2/core/literals_pb.ts";
import { SimpleType } from "@flyte-ts/contract/flyteidl2/core/types_pb.ts";

/**
 * The text of a file as a value; undefined when it is none of this type. A text is kept as it is, of everything else the
 * white space around it is no part.
 *
 * @example parsePrimitive("12\n", SimpleType.INTEGER) // { case: "integer", value: 12n }
 */
export function parsePrimitive(text: string, type: SimpleType): Primitive["value"] | undefined {
  const word = text.trim();
  switch (type) {
    case SimpleType.STRING:
      return { case: "stringValue", value: text };
    case SimpleType.INTEGER:
      return integer(word);
    case SimpleType.FLOAT:
      return float(word);
    case SimpleType.BOOLEAN:
      return boolean(word);
    case SimpleType.DATETIME: {
      const value = timestamp(word);
      return value && { case: "datetime", value };
    }
    case SimpleType.DURATION: {
      const value = duration(word);
      return value && { case: "duration", value };
    }
    default:
      return undefined;
  }
}

function integer(word: string): Primitive["value"] | undefined {
  if (!/^[+-]?\d+$/.test(word)) return undefined;
  const value = BigInt(word.replace(/^\+/, ""));
  return BigInt.asIntN(64, value) === value ? { case: "integer", value } : undefined;
}

function float(word: string): Primitive["value"] | undefined {
  const special = /^([+-]?)(inf|infinity|nan)$/i.exec(word);
  if (special) {
    const size = special[2]?.toLowerCase() === "nan" ? Number.NaN : Number.POSITIVE_INFINITY;
    return { case: "floatValue", value: special[1] === "-" ? -size : size };
  }
  if (!/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(word)) return undefined;
  return { case: "floatValue", value: Number(word) };
}

function boolean(word: string): Primitive["value"] | undefined {
  if (/^(true|t|1)$/i.test(word)) return { case: "boolean", value: true };
  if (/^(false|f|0)$/i.test(word)) return { case: "boolean", value: false };
  return undefined;
}

const DATE_TIME = /^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d)(:\d\d)?(?:\.(\d{1,9})\d*)?\s*(Z|[+-]\d\d:?\d\d)?)?$/i;

/** ISO 8601 and RFC 3339, also as Python prints them; a time without a zone is UTC. */
function timestamp(word: string): Timestamp | undefined {
  const [, day, minutes = "00:00", seconds = ":00", fraction = "", zone = "Z"] = DATE_TIME.exec(word) ?? [];
  if (day === undefined) return undefined;
  const offset = zone.length === 5 ? `${zone.slice(0, 3)}:${zone.slice(3)}` : zone.toUpperCase();
  const ms = Date.parse(`${day}T${minutes}${seconds}${offset}`);
  if (Number.isNaN(ms)) return undefined;
  return create(TimestampSchema, { seconds: BigInt(ms / 1000), nanos: Number(fraction.padEnd(9, "0")) });
}

const UNITS: Readonly<Record<string, bigint>> = {
  h: 3_600_000_000_000n,
  m: 60_000_000_000n,
  s: 1_000_000_000n,
  ms: 1_000_000n,
  us: 1_000n,
  µs: 1_000n,
  ns: 1n,
};

/** As Go writes it (`1h2m3.5s`), or Python (`1 day, 2:03:04.5`). */
function duration(word: string): Duration | undefined {
  const nanos = goDuration(word) ?? pythonDuration(word);
  if (nanos === undefined) return undefined;
  return create(DurationSchema, { seconds: nanos / 1_000_000_000n, nanos: Number(nanos % 1_000_000_000n) });
}

function goDuration(word: string): bigint | undefined {
  const [, sign, rest = ""] = /^([+-]?)((?:\d+(?:\.\d+)?(?:h|ms|m|s|us|µs|ns))+|0)$/.exec(word) ?? [];
  if (sign === undefined) return undefined;
  let total = 0n;
  for (const [, amount = "", unit = ""] of rest.matchAll(/(\d+(?:\.\d+)?)(h|ms|m|s|us|µs|ns)/g)) {
    total += decimal(amount, UNITS[unit] ?? 0n);
  }
  return sign === "-" ? -total : total;
}

function pythonDuration(word: string): bigint | undefined {
  const match = /^(?:([+-]?\d+) days?, )?(\d+):(\d\d):(\d\d(?:\.\d+)?)$/.exec(word);
  if (!match) return undefined;
  const [, days = "0", hours = "0", minutes = "0", seconds = "0"] = match;
  const hour = UNITS.h ?? 0n;
  return (
    BigInt(days) * 24n * hour + BigInt(hours) * hour + BigInt(minutes) * (hour / 60n) + decimal(seconds, hour / 3600n)
  );
}

/** A decimal number of units in nanoseconds, without the error of floating point. */
function decimal(amount: string, unit: bigint): bigint {
  const [whole = "0", fraction = ""] = amount.split(".");
  const digits = fraction.slice(0, 15);
  return BigInt(whole) * unit + (BigInt(digits || "0") * unit) / 10n ** BigInt(digits.length);
}
