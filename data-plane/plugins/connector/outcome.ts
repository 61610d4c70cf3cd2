/** How a call to a connector ended, in the words of the plugin. */
import type { Resource } from "@flyte-ts/contract/flyteidl2/connector/connector_pb.ts";
import type { AttemptError } from "../../executor/index.ts";
import type { Results } from "../../task-code/index.ts";
import type { Note } from "./note.ts";

export type Outcome = { away?: string | undefined } & (
  | { kind: "created"; note: Note & { meta: Uint8Array }; saved: boolean }
  /** `results`: what is in the attempt's folder now that the resource has ended. */
  | { kind: "seen"; resource: Resource; results?: Results }
  /** Nothing was done, or nobody knows: try again. */
  | { kind: "later"; reason: string; message: string }
  /** The connector cannot say what became of the resource. */
  | { kind: "trouble"; reason: string; message: string }
  | { kind: "failed"; error: AttemptError; gone: boolean }
  | { kind: "deleted" }
);
