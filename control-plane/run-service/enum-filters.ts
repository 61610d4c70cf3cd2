/** Filters on numbered words: `RUN_SOURCE_WEB`, `WEB` and `web` are taken for the number that is stored. Pure. */
import { create } from "@bufbuild/protobuf";
import { type Filter, FilterSchema } from "@flyte-ts/contract/flyteidl2/common/list_pb.ts";
import { ActionType, RunSource } from "@flyte-ts/contract/flyteidl2/workflow/run_definition_pb.ts";
import { ActionPhase } from "@flyte-ts/core";

const words: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  phase: ActionPhase,
  action_type: ActionType,
  source: RunSource,
  run_source: RunSource,
};

const prefix = /^(action_phase|action_type|run_source)_/;

/** What is no known word stays as it is: a number, or a mistake that the list parser explains. */
export function withNumbers(filters: readonly Filter[]): Filter[] {
  return filters.map((filter) => {
    const known = Object.hasOwn(words, filter.field) ? words[filter.field] : undefined;
    if (!known) return filter;
    const values = filter.values.map((value) => {
      const word = value.toLowerCase().replace(prefix, "").toUpperCase();
      return Object.hasOwn(known, word) ? String(known[word]) : value;
    });
    return create(FilterSchema, { ...filter, values });
  });
}
