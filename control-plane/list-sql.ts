/**
 * A parsed list request (core/list-request.ts) as fragments of one SQL statement.
 *
 * Promise: values of the request travel as parameters only; text in the statement comes from the caller's column table.
 * Comparing with an absent value behaves as people mean it: what has no value is "not equal" to every value.
 *
 *     const list = listSql(query, [project]);            // $1 is the project, more follow
 *     const { rows } = await sql.query<Row & PageKeys>({
 *       text: `select name, ${list.keys} from tasks where project = $1 and ${list.where} ${list.tail}`,
 *       values: list.values,
 *     });
 *     return listPage(query, rows);                      // { rows, token }
 *
 * Such a statement has a new text for each shape of request, so it is never given a name to be prepared under.
 */

import {
  type ListColumn,
  type ListCondition,
  type ListOrder,
  type ListQuery,
  type ListTarget,
  type SortKey,
  tokenAfter,
} from "@flyte-ts/core";

export interface SqlColumn extends ListColumn {
  /** An expression over the statement's tables; for `labels` one of type jsonb holding a flat object of strings. */
  sql: string;
  /** Never null: lets an index over the order find the start of a page. */
  notNull?: boolean;
}

export type SqlColumns = Readonly<Record<string, SqlColumn>>;

/** Selected beside the row; `listPage` makes the token from it. */
export interface PageKeys {
  page_keys: SortKey[];
}

export interface ListSql {
  /** Filters and the start of the page, never empty. */
  where: string;
  /** `order by … limit … offset …`; reads one row more than the page has, to know whether there is another. */
  tail: string;
  /** For the select list, see `PageKeys`. */
  keys: string;
  values: unknown[];
}

export interface Page<R> {
  rows: R[];
  /** Empty on the last page. */
  token: string;
}

/** The whole statement: `parameters` are those the caller's own text uses, `$1` first. */
export function listSql(query: ListQuery<SqlColumn>, parameters: readonly unknown[] = []): ListSql {
  const values = [...parameters];
  const bind = binder(values);
  const where = conjunction(query.conditions.map((condition) => conditionSql(condition, bind)));
  const start = query.start.kind === "after" ? afterSql(query.order, query.start.keys, bind) : "true";
  const order = query.order.map((term) => `${valueSql(term, bind)} ${term.descending ? "desc" : "asc"}`).join(", ");
  const keys = query.order.map((term) => keySql(term, bind)).join(", ");
  const limit = query.limit === undefined ? "" : ` limit ${bind(query.limit + 1)}::bigint`;
  const offset =
    query.start.kind === "offset" && query.start.offset > 0 ? ` offset ${bind(query.start.offset)}::bigint` : "";
  return {
    where: conjunction([where, start]),
    tail: `order by ${order}${limit}${offset}`,
    keys: `array[${keys}]::text[] as page_keys`,
    values,
  };
}

/** The filters alone, for counts. */
export function filterSql(
  query: ListQuery<SqlColumn>,
  parameters: readonly unknown[] = [],
): { where: string; values: unknown[] } {
  const values = [...parameters];
  const bind = binder(values);
  return { where: conjunction(query.conditions.map((condition) => conditionSql(condition, bind))), values };
}

/** Cuts the row read ahead and makes the token for what follows. */
export function listPage<R extends PageKeys>(query: ListQuery<SqlColumn>, found: readonly R[]): Page<R> {
  const rows = query.limit === undefined ? [...found] : found.slice(0, query.limit);
  const last = rows.at(-1);
  return { rows, token: last && found.length > rows.length ? tokenAfter(query, last.page_keys) : "" };
}

type Bind = (value: unknown) => string;

function binder(values: unknown[]): Bind {
  return (value) => `$${values.push(value)}`;
}

function conjunction(parts: readonly string[]): string {
  const useful = parts.filter((part) => part !== "true");
  return useful.length === 0 ? "true" : useful.map((part) => `(${part})`).join(" and ");
}

const CASTS = {
  text: "text",
  labels: "text",
  int: "bigint",
  phase: "bigint",
  timestamp: "timestamptz",
  bool: "boolean",
} as const;

function castOf({ column, key }: ListTarget<SqlColumn>) {
  return key === undefined ? CASTS[column.type] : "text";
}

function valueSql({ column, key }: ListTarget<SqlColumn>, bind: Bind): string {
  return key === undefined ? `(${column.sql})` : `((${column.sql}) ->> ${bind(key)}::text)`;
}

function isNotNull({ column, key }: ListTarget<SqlColumn>): boolean {
  return key === undefined && column.notNull === true;
}

function conditionSql(condition: ListCondition<SqlColumn>, bind: Bind): string {
  const { column, key } = condition;
  const cast = castOf(condition);
  const value = () => valueSql(condition, bind);
  switch (condition.test) {
    case "compare":
      if (key !== undefined && condition.operator === "=") {
        // Containment, not ->>: this is what a gin index over labels answers.
        return `(${column.sql}) @> ${bind(JSON.stringify({ [key]: condition.value }))}::jsonb`;
      }
      if (condition.operator === "<>") return `${value()} is distinct from ${bind(condition.value)}::${cast}`;
      return `${value()} ${condition.operator} ${bind(condition.value)}::${cast}`;
    case "in":
      return unless(condition.negated, `${value()} = any(${bind(condition.values)}::text[]::${cast}[])`);
    case "contains":
      return `${value()} ${condition.ignoreCase ? "ilike" : "like"} ${bind(`%${escapeLike(condition.text)}%`)}`;
    case "ends":
      return unless(condition.negated, `${value()} like ${bind(`%${escapeLike(condition.text)}`)}`);
    case "exists":
      // A text column says "none" by being empty; a label may be empty and there.
      return unless(
        condition.negated,
        cast === "text" && key === undefined ? `${value()} <> ''` : `${value()} is not null`,
      );
  }
}

/** Negation that holds for rows without a value too. */
function unless(negated: boolean, sql: string): string {
  return negated ? `(${sql}) is not true` : sql;
}

/** The user's text is looked for as it is: no character of it is a wildcard. */
function escapeLike(text: string): string {
  return text.replace(/[\\%_]/g, "\\$&");
}

/** A timestamp as UTC whatever the session's zone; everything else as PostgreSQL prints it. */
function keySql(term: ListOrder<SqlColumn>, bind: Bind): string {
  const value = valueSql(term, bind);
  return castOf(term) === "timestamptz"
    ? `to_char(${value} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`
    : `${value}::text`;
}

/**
 * The rows behind the given one: the first term differs, or it is equal and the second differs, … Absent values are the
 * largest, as PostgreSQL sorts them unless told, so that plain indexes serve the order.
 */
function afterSql(order: readonly ListOrder<SqlColumn>[], keys: readonly SortKey[], bind: Bind): string {
  let rest = "false";
  for (let i = order.length - 1; i >= 0; i--) {
    const term = order[i];
    if (!term) continue;
    rest = afterTermSql(term, keys[i] ?? null, rest, bind);
  }
  return rest;
}

function afterTermSql(term: ListOrder<SqlColumn>, key: SortKey, rest: string, bind: Bind): string {
  const value = () => valueSql(term, bind);
  if (key === null) {
    const same = `${value()} is null and (${rest})`;
    return term.descending ? `${value()} is not null or (${same})` : same;
  }
  const bound = `${bind(key)}::${castOf(term)}`;
  const beyond = `${value()} ${term.descending ? "<" : ">"} ${bound}`;
  const same = `${value()} = ${bound} and (${rest})`;
  if (!term.descending && !isNotNull(term)) return `${value()} is null or ${beyond} or (${same})`;
  // The first condition says nothing new, but an index can start at it.
  return `${value()} ${term.descending ? "<=" : ">="} ${bound} and (${beyond} or (${same}))`;
}
