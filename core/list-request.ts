/**
 * `flyteidl2.common.ListRequest`, checked and understood: which rows, in which order, which page.
 *
 * The caller describes its list by a table of columns; a column carries whatever the caller needs to answer with (for
 * PostgreSQL an expression, see control-plane/list-sql.ts), this file only reads its type. Filters are joined by *and*.
 *
 * Promise: what is returned can be answered; everything else is `invalid`, with the fields that would have worked.
 *
 *     const query = parseListRequest(request, {
 *       columns: { name: { type: "text" }, created_at: { type: "timestamp" }, labels: { type: "labels" } },
 *       defaultOrder: [{ field: "created_at", descending: true }],
 *       tieBreak: { field: "id", column: { type: "int" } },
 *     });
 */

import type { Filter, ListRequest, Sort } from "@flyte-ts/contract/flyteidl2/common/list_pb.ts";
import { Filter_Function, Sort_Direction } from "@flyte-ts/contract/flyteidl2/common/list_pb.ts";
import { invalidArgument } from "./errors.ts";
import { decodePageToken, encodePageToken, type PageStart, type SortKey, type TokenTerm } from "./list-token.ts";
import { type ListColumnType, parseListValue } from "./list-value.ts";

export interface ListColumn {
  type: ListColumnType;
}

/** A column, or with `key` one entry of its map. */
export interface ListTarget<C extends ListColumn> {
  column: C;
  key?: string;
}

export type ListCondition<C extends ListColumn> = ListTarget<C> &
  (
    | { test: "compare"; operator: CompareOperator; value: string }
    | { test: "in"; negated: boolean; values: readonly string[] }
    | { test: "contains"; ignoreCase: boolean; text: string }
    | { test: "ends"; negated: boolean; text: string }
    | { test: "exists"; negated: boolean }
  );

export type CompareOperator = "=" | "<>" | ">" | ">=" | "<" | "<=";

export type ListOrder<C extends ListColumn> = ListTarget<C> & { field: string; descending: boolean };

export interface ListQuery<C extends ListColumn> {
  /** Rows of the page; undefined means all of them. */
  limit: number | undefined;
  start: PageStart;
  conditions: readonly ListCondition<C>[];
  /** Ends with the tie-break, so no two rows are equal in it. */
  order: readonly ListOrder<C>[];
}

export interface ListRules<C extends ListColumn> {
  columns: Readonly<Record<string, C>>;
  /** Used when the request names none. */
  defaultOrder: readonly { field: string; descending: boolean }[];
  /** Makes the order total; takes the direction of the last field before it. Need not be a column clients may name. */
  tieBreak: { field: string; column: C } | readonly { field: string; column: C }[];
  /** What limit 0 means: 50 unless told; `"all"` for no limit. */
  defaultLimit?: number | "all";
  /** A page holds no more than this: 200 unless told; `"any"` for no bound. */
  maxLimit?: number | "any";
}

/** The fields of a `ListRequest` that are read: other messages have some of them too. */
export type ListInput = Partial<
  Pick<ListRequest, "limit" | "token" | "sortBy" | "filters" | "rawFilters" | "sortByFields">
>;

const MAX_FILTERS = 100;
const MAX_SORT_FIELDS = 10;

export function parseListRequest<C extends ListColumn>(
  input: ListInput | undefined,
  rules: ListRules<C>,
): ListQuery<C> {
  const request = input ?? {};
  if ((request.rawFilters?.length ?? 0) > 0) {
    throw invalidArgument("raw_filters are not supported; use filters");
  }
  const filters = request.filters ?? [];
  if (filters.length > MAX_FILTERS) {
    throw invalidArgument(`${filters.length} filters are too many; ${MAX_FILTERS} are allowed`);
  }
  const order = readOrder(request, rules);
  return {
    limit: readLimit(request.limit ?? 0, rules),
    start: decodePageToken(order.map(tokenTerm), request.token ?? ""),
    conditions: filters.map((filter) => readFilter(filter, rules.columns)),
    order,
  };
}

/** The token that continues after a row with these sort keys (one for each term of `query.order`). */
export function tokenAfter<C extends ListColumn>(query: ListQuery<C>, keys: readonly SortKey[]): string {
  return encodePageToken(query.order.map(tokenTerm), keys);
}

function tokenTerm<C extends ListColumn>(term: ListOrder<C>): TokenTerm {
  return { field: term.field, descending: term.descending, type: term.key === undefined ? term.column.type : "text" };
}

function readLimit(limit: number, { defaultLimit = 50, maxLimit = 200 }: ListRules<ListColumn>): number | undefined {
  if (limit === 0) return defaultLimit === "all" ? undefined : defaultLimit;
  // A page is never larger, but asking for more is no error: the token leads on, and clients ask for what they want in all.
  return maxLimit === "any" ? limit : Math.min(limit, maxLimit);
}

function readOrder<C extends ListColumn>(request: ListInput, rules: ListRules<C>): ListOrder<C>[] {
  const asked: readonly Sort[] = request.sortByFields?.length
    ? request.sortByFields
    : request.sortBy
      ? [request.sortBy]
      : [];
  if (asked.length > MAX_SORT_FIELDS) {
    throw invalidArgument(`${asked.length} sort fields are too many; ${MAX_SORT_FIELDS} are allowed`);
  }
  const wanted = asked.length
    ? asked.map((sort) => ({ field: sort.key, descending: sort.direction !== Sort_Direction.ASCENDING }))
    : rules.defaultOrder;
  const order: ListOrder<C>[] = [];
  const add = (term: ListOrder<C>) => {
    if (!order.some((earlier) => earlier.field === term.field)) order.push(term);
  };
  for (const { field, descending } of wanted) {
    add({ ...findTarget(field, rules.columns, "sort by"), field, descending });
  }
  const descending = order.at(-1)?.descending ?? true;
  for (const { field, column } of [rules.tieBreak].flat()) add({ column, field, descending });
  return order;
}

function readFilter<C extends ListColumn>(filter: Filter, columns: Readonly<Record<string, C>>): ListCondition<C> {
  const { field } = filter;
  const target = findTarget(field, columns, "filter by");
  // The entries of a map are texts.
  const type = target.key === undefined ? target.column.type : "text";
  const values = () => {
    if (filter.values.length === 0) throw invalidArgument(`the filter on ${field} has no value`);
    return filter.values.map((value) => parseListValue(type, value, field));
  };
  const value = () => {
    const [first, ...more] = values();
    if (first === undefined || more.length > 0) {
      throw invalidArgument(
        `the filter on ${field} takes one value, not ${filter.values.length}; use VALUE_IN for several`,
      );
    }
    return first;
  };
  const text = () => {
    if (type !== "text")
      throw invalidArgument(`${field} is not a text; compare it with EQUAL, VALUE_IN, GREATER_THAN or LESS_THAN`);
    return value();
  };
  const compare = (operator: CompareOperator) => {
    if (type === "bool" && operator !== "=" && operator !== "<>") {
      throw invalidArgument(`${field} is true or false; compare it with EQUAL or NOT_EQUAL`);
    }
    return { ...target, test: "compare" as const, operator, value: type === "phase" ? wholeNumber(filter) : value() };
  };
  switch (filter.function) {
    case Filter_Function.EQUAL:
      return compare("=");
    case Filter_Function.NOT_EQUAL:
      return compare("<>");
    case Filter_Function.GREATER_THAN:
      return compare(">");
    case Filter_Function.GREATER_THAN_OR_EQUAL:
      return compare(">=");
    case Filter_Function.LESS_THAN:
      return compare("<");
    case Filter_Function.LESS_THAN_OR_EQUAL:
      return compare("<=");
    case Filter_Function.VALUE_IN:
      return { ...target, test: "in", negated: false, values: values() };
    case Filter_Function.VALUE_NOT_IN:
      return { ...target, test: "in", negated: true, values: values() };
    case Filter_Function.CONTAINS:
      return { ...target, test: "contains", ignoreCase: false, text: text() };
    case Filter_Function.CONTAINS_CASE_INSENSITIVE:
      return { ...target, test: "contains", ignoreCase: true, text: text() };
    case Filter_Function.ENDS_WITH:
      return { ...target, test: "ends", negated: false, text: text() };
    case Filter_Function.NOT_ENDS_WITH:
      return { ...target, test: "ends", negated: true, text: text() };
    case Filter_Function.EXISTS:
      return { ...target, test: "exists", negated: false };
    case Filter_Function.NOT_EXISTS:
      return { ...target, test: "exists", negated: true };
    default:
      throw invalidArgument(`the filter on ${field} has the unknown function ${filter.function}`);
  }
}

/** The Python SDK puts a single phase into the repeated field as a string, so "10" arrives as "1", "0". */
function wholeNumber(filter: Filter): string {
  if (filter.values.length === 0) throw invalidArgument(`the filter on ${filter.field} has no value`);
  const digits = filter.values.length > 1 && filter.values.every((piece) => /^\d$/.test(piece));
  if (filter.values.length > 1 && !digits) {
    throw invalidArgument(`the filter on ${filter.field} takes one value; use VALUE_IN for several`);
  }
  return parseListValue("phase", filter.values.join(""), filter.field);
}

function findTarget<C extends ListColumn>(
  field: string,
  columns: Readonly<Record<string, C>>,
  verb: string,
): ListTarget<C> {
  const exact = Object.hasOwn(columns, field) ? columns[field] : undefined;
  if (exact && exact.type !== "labels") return { column: exact };
  const dot = field.indexOf(".");
  const map = dot > 0 && Object.hasOwn(columns, field.slice(0, dot)) ? columns[field.slice(0, dot)] : undefined;
  const key = field.slice(dot + 1);
  if (map?.type === "labels" && key !== "" && !key.includes("\0")) return { column: map, key };
  const allowed = Object.entries(columns).map(([name, { type }]) => (type === "labels" ? `${name}.<key>` : name));
  throw invalidArgument(`cannot ${verb} ${JSON.stringify(field.slice(0, 100))}; the fields are ${allowed.join(", ")}`);
}
