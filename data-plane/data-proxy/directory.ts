/**
 * What the data proxy must know about projects, actions and tasks, asked of whoever keeps them: run-service in the
 * all-in-one server, an RPC elsewhere. The data plane never reads the control plane's database.
 */
import type { ActionIdentifier } from "@flyte-ts/contract/flyteidl2/common/identifier_pb.ts";
import type { Literal } from "@flyte-ts/contract/flyteidl2/core/literals_pb.ts";
import type { TaskIdentifier, TaskSpec } from "@flyte-ts/contract/flyteidl2/task/task_definition_pb.ts";

export interface ActionDirectory {
  /** Throws NotFound when the project does not exist, is archived, or has no such domain. */
  requireProject(project: string, domain: string): Promise<void>;
  /** Throws NotFound. */
  action(id: ActionIdentifier): Promise<ActionRecord>;
  /** Throws NotFound. */
  taskSpec(id: TaskIdentifier): Promise<TaskSpec>;
}

/** An action as it is now. */
export interface ActionRecord {
  kind: "task" | "trace" | "condition";
  /** Folder or full path; empty when it has none. */
  inputsUri: string;
  /** Folder or full path; empty until it has outputs. */
  outputsUri: string;
  /** Number of the latest attempt; 0 before the first. */
  attempts: number;
  /** Folder of an attempt's outputs.pb, error.pb, report.html and log; attempts count from 1. */
  attemptUri(attempt: number): string;
  terminal: boolean;
  /** What a condition was signalled with. */
  value?: Literal | undefined;
  /** The task as it was run; undefined for traces and conditions. */
  taskSpec(): Promise<TaskSpec | undefined>;
}
