/**
 * The opaque token of a page: where the next one starts.
 *
 * Our own tokens hold the sort key of the last row shown, so rows added or removed meanwhile neither repeat nor hide
 * others. A decimal number is read as an offset, which is what tokens of the Go backend are and what people type.
 *
 * Promise: a token of another sort order, a forged or a cut one is `invalid`; nothing of it is trusted further than a
 * value somebody may filter by.
 */

import { invalidArgument } from "./errors.ts";
import { type ListColumnType, parseListValue } from "./list-value.ts";

/** One sort key of a row as text, null where the column has none. */
export type SortKey = string | null;

export type PageStart = { kind: "offset"; offset: number } | { kind: "after"; keys: readonly SortKey[] };

/** What a token must agree with: each field of the order, its type and direction. */
export interface TokenTerm {
  field: string;
  type: ListColumnType;
  descending: boolean;
}

const PREFIX = "k1.";
const OFFSET = /^\d{1,9}$/;

export function encodePageToken(order: readonly TokenTerm[], keys: readonly SortKey[]): string {
  return PREFIX + Buffer.from(JSON.stringify([signature(order), keys])).toString("base64url");
}

export function decodePageToken(order: readonly TokenTerm[], token: string): PageStart {
  if (token === "") return { kind: "offset", offset: 0 };
  if (OFFSET.test(token)) return { kind: "offset", offset: Number(token) };
  const content = token.startsWith(PREFIX) ? decode(token.slice(PREFIX.length)) : undefined;
  if (!Array.isArray(content) || content.length !== 2) throw unusable("it was not made by this server");
  const [sortedBy, keys] = content as [unknown, unknown];
  if (sortedBy !== signature(order)) throw unusable("it belongs to another sort order");
  if (!Array.isArray(keys) || keys.length !== order.length) throw unusable("it was not made by this server");
  return { kind: "after", keys: order.map((term, i) => readKey(term, keys[i])) };
}

function readKey(term: TokenTerm, key: unknown): SortKey {
  if (key === null) return null;
  if (typeof key !== "string") throw unusable("it was not made by this server");
  return parseListValue(term.type, key, "token");
}

function decode(text: string): unknown {
  try {
    return JSON.parse(Buffer.from(text, "base64url").toString("utf8"));
  } catch {
    return undefined;
  }
}

function signature(order: readonly TokenTerm[]): string {
  return order.map((term) => `${term.field}${term.descending ? "-" : "+"}`).join(",");
}

function unusable(why: string) {
  return invalidArgument(`the page token cannot be used: ${why}; list again from the first page`);
}
