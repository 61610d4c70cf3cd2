/** Signals for conditions: checks the value against the condition's type and stores it as the condition's end. */
import { toBinary } from "@bufbuild/protobuf";
import { type Literal, LiteralSchema } from "@flyte-ts/contract/flyteidl2/core/literals_pb.ts";
import { SimpleType } from "@flyte-ts/contract/flyteidl2/core/types_pb.ts";
import { ActionType, type ConditionAction } from "@flyte-ts/contract/flyteidl2/workflow/run_definition_pb.ts";
import { failedPrecondition, invalidArgument, notFound } from "@flyte-ts/core";
import type { Database } from "@flyte-ts/platform/postgres";
import type { StateWriter } from "./state-writer.ts";
import { type ActionKey, type ActionRow, readActions } from "./store.ts";

export interface Signals {
  signal(key: ActionKey, value: Literal, by: string): Promise<void>;
}

export interface SignalsOptions {
  database: Database;
  writer: StateWriter;
  conditionOf(row: ActionRow): ConditionAction;
}

const caseOf: Partial<Record<SimpleType, string>> = {
  [SimpleType.BOOLEAN]: "boolean",
  [SimpleType.INTEGER]: "integer",
  [SimpleType.FLOAT]: "floatValue",
  [SimpleType.STRING]: "stringValue",
};

/** In words, for whoever gave the wrong one. */
const caseNames: Record<string, string> = {
  boolean: "boolean",
  integer: "whole number",
  floatValue: "number",
  stringValue: "string",
  datetime: "date",
  duration: "duration",
};

export function signals({ database, writer, conditionOf }: SignalsOptions): Signals {
  return {
    async signal(key, value, by) {
      const [row] = await readActions(database, [key]);
      if (!row) throw notFound(`there is no action ${key.name} to signal`);
      if (row.kind !== ActionType.CONDITION) throw failedPrecondition(`action ${key.name} is not a condition`);
      const condition = conditionOf(row);
      const simple = condition.type?.type.case === "simple" ? condition.type.type.value : SimpleType.NONE;
      const given = primitiveCase(value);
      const wanted = caseOf[simple];
      if (given !== wanted) {
        const words = (one: string | undefined) => (one && caseNames[one]) ?? "structured value";
        throw invalidArgument(`condition ${condition.name} takes a ${words(wanted)}, not a ${words(given)}`);
      }
      const result = await writer.submit({ kind: "signal", key, value: toBinary(LiteralSchema, value), by });
      if (result !== "applied") throw failedPrecondition(`condition ${condition.name} is over already`);
    },
  };
}

function primitiveCase(value: Literal): string | undefined {
  if (value.value.case !== "scalar" || value.value.value.value.case !== "primitive") return undefined;
  return value.value.value.value.value.value.case;
}
