/** Where an action's data lies, for those who serve it: the data proxy through its directory, and GetActionDataURIs. */
import { fromBinary } from "@bufbuild/protobuf";
import type { ActionIdentifier } from "@flyte-ts/contract/flyteidl2/common/identifier_pb.ts";
import { type Literal, LiteralSchema } from "@flyte-ts/contract/flyteidl2/core/literals_pb.ts";
import type { TaskSpec } from "@flyte-ts/contract/flyteidl2/task/task_definition_pb.ts";
import { ActionType } from "@flyte-ts/contract/flyteidl2/workflow/run_definition_pb.ts";
import { isTerminal } from "@flyte-ts/core";
import type { ActionReader } from "./action-reader.ts";

export interface ActionData {
  ref: { runKey: bigint; name: string };
  kind: "task" | "trace" | "condition";
  inputsUri: string;
  /** Folder (task) or full path (trace); "" until there are outputs. */
  outputsUri: string;
  attempts: number;
  attemptUri(attempt: number): string;
  terminal: boolean;
  value?: Literal | undefined;
  taskSpec(): Promise<TaskSpec | undefined>;
}

const kinds: Record<number, ActionData["kind"]> = {
  [ActionType.TASK]: "task",
  [ActionType.TRACE]: "trace",
  [ActionType.CONDITION]: "condition",
};

export async function actionData(reader: ActionReader, id: ActionIdentifier): Promise<ActionData> {
  const { row } = await reader.action(id);
  const folder = `${row.runOutputBase.replace(/\/$/, "")}/${row.name}`;
  return {
    ref: { runKey: row.runId, name: row.name },
    kind: kinds[row.kind] ?? "task",
    inputsUri: row.inputUri,
    outputsUri: row.outputUri,
    attempts: row.attempts,
    // The layout that executors write and the SDK expects (`<run base>/<action>/<attempt>`).
    attemptUri: (attempt) => `${folder}/${attempt}`,
    terminal: isTerminal(row.phase),
    ...(row.value && { value: fromBinary(LiteralSchema, row.value) }),
    taskSpec: () => reader.taskSpec(row),
  };
}
