/**
 * The text of a filter or a page token, read as a value of its column.
 *
 * Promise: what comes out is accepted by the database as it is, so a wrong value is the caller's `invalid`, never a
 * failed statement. Numbers and times stay text: 64 bits and microseconds do not fit in a JavaScript number or date.
 *
 *     parseListValue("timestamp", "2026-11-24T10:00:00.123456+01:00", "created_at") // "2026-11-24T09:00:00.123456Z"
 */

import { invalidArgument } from "./errors.ts";

/**
 * What a column holds. `phase` is an `int` whose clients send one number in pieces (see `list-request.ts`); `labels` is a
 * map of texts, its fields are named `<column>.<key>`.
 */
export type ListColumnType = "text" | "int" | "phase" | "timestamp" | "bool" | "labels";

const INT64_MAX = 2n ** 63n - 1n;
const INTEGER = /^[+-]?\d{1,19}$/;
const TIMESTAMP =
  /^(?<date>\d{4}-\d{2}-\d{2})(?:[Tt ](?<minute>\d{2}:\d{2})(?<second>:\d{2})?(?:[.,](?<fraction>\d{1,9}))?)? ?(?<zone>[Zz]|[+-]\d{2}:?(?:\d{2})?)?$/;

/** The value in its one canonical text; throws `invalid` naming the field. */
export function parseListValue(type: ListColumnType, text: string, field: string): string {
  switch (type) {
    case "int":
    case "phase":
      return parseInteger(text, field);
    case "timestamp":
      return parseTimestamp(text, field);
    case "bool":
      return parseBoolean(text, field);
    case "text":
    case "labels":
      if (text.includes("\0")) throw invalidArgument(`${field}: a text cannot hold a NUL character`);
      return text;
  }
}

function parseInteger(text: string, field: string): string {
  const trimmed = text.trim();
  if (INTEGER.test(trimmed)) {
    const value = BigInt(trimmed.replace(/^\+/, ""));
    if (value <= INT64_MAX && value >= -INT64_MAX) return value.toString();
  }
  throw invalidArgument(`${field}: ${quote(text)} is not a whole number of 64 bits`);
}

function parseBoolean(text: string, field: string): string {
  const word = text.trim().toLowerCase();
  if (word === "true" || word === "1") return "true";
  if (word === "false" || word === "0") return "false";
  throw invalidArgument(`${field}: ${quote(text)} is not true or false`);
}

/** Without a zone a time is read as UTC, the zone of everything we store. */
function parseTimestamp(text: string, field: string): string {
  const parts = TIMESTAMP.exec(text.trim())?.groups;
  if (parts) {
    const { date = "", minute = "00:00", second = ":00", fraction = "", zone = "Z" } = parts;
    const midnight = new Date(`${date}T00:00:00Z`);
    // Date rolls 31 February over into March; such a date is the caller's mistake.
    const isReal = !Number.isNaN(midnight.getTime()) && midnight.toISOString().startsWith(date);
    const instant = new Date(`${date}T${minute}${second}${fullZone(zone)}`);
    if (
      isReal &&
      !Number.isNaN(instant.getTime()) &&
      instant.getUTCFullYear() >= 1 &&
      instant.getUTCFullYear() < 10000
    ) {
      return `${instant.toISOString().slice(0, 19)}.${fraction.slice(0, 6).padEnd(6, "0")}Z`;
    }
  }
  throw invalidArgument(`${field}: ${quote(text)} is not a time such as 2026-01-31T08:30:00Z`);
}

function fullZone(zone: string): string {
  if (zone.toUpperCase() === "Z") return "Z";
  const digits = zone.slice(1).replace(":", "").padEnd(4, "0");
  return `${zone[0]}${digits.slice(0, 2)}:${digits.slice(2)}`;
}

function quote(text: string): string {
  return JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text);
}
