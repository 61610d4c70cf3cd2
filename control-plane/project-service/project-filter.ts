/**
 * The filters of ListProjects, which are a text and not the messages of other lists:
 *
 *     eq(state, 0)+contains(name, shop)+value_in(identifier, one;two)
 *
 * Functions: eq, ne, gt, gte, lt, lte, contains, value_in. The parts are joined by *and*. A value runs up to the last
 * parenthesis before the next `+function(`, so it may hold commas, plus signs and parentheses.
 */

import { create } from "@bufbuild/protobuf";
import { type Filter, Filter_Function, FilterSchema } from "@flyte-ts/contract/flyteidl2/common/list_pb.ts";
import { invalidArgument } from "@flyte-ts/core";

const FUNCTIONS: Readonly<Record<string, Filter_Function>> = {
  eq: Filter_Function.EQUAL,
  ne: Filter_Function.NOT_EQUAL,
  gt: Filter_Function.GREATER_THAN,
  gte: Filter_Function.GREATER_THAN_OR_EQUAL,
  lt: Filter_Function.LESS_THAN,
  lte: Filter_Function.LESS_THAN_OR_EQUAL,
  contains: Filter_Function.CONTAINS,
  value_in: Filter_Function.VALUE_IN,
};

const PART = /^\s*(?<name>[a-z_]+)\(\s*(?<field>[^,()]+?)\s*,(?<value>.*)\)\s*$/s;
const BETWEEN_PARTS = /(?<=\))\s*\+\s*(?=[a-z_]+\()/;

export function parseProjectFilters(text: string): Filter[] {
  if (text.trim() === "") return [];
  return text.split(BETWEEN_PARTS).map(parsePart);
}

function parsePart(part: string): Filter {
  const { name = "", field = "", value = "" } = PART.exec(part)?.groups ?? {};
  const filterFunction = Object.hasOwn(FUNCTIONS, name) ? FUNCTIONS[name] : undefined;
  if (filterFunction === undefined) {
    const known = Object.keys(FUNCTIONS).join(", ");
    throw invalidArgument(
      `the project filter ${JSON.stringify(part.slice(0, 100))} cannot be read; write function(field, value) with one of ${known}, joined by +`,
    );
  }
  const values = filterFunction === Filter_Function.VALUE_IN ? value.split(";") : [value];
  return create(FilterSchema, { function: filterFunction, field, values: values.map((each) => each.trim()) });
}
