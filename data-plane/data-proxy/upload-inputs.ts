/**
 * UploadInputs: a run's inputs become one object, and get the hash that their cache key is made of.
 *
 * Promise: the object is named by its bytes, so it never changes and the same inputs are stored once; the task's own
 * defaults fill what the caller left out, in the order of the task's interface, so that a root action and a child with
 * the same inputs hash alike (see core/inputs-hash.ts).
 */
import { createHash } from "node:crypto";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type {
  UploadInputsRequest,
  UploadInputsResponseSchema,
} from "@flyte-ts/contract/flyteidl2/dataproxy/dataproxy_service_pb.ts";
import {
  type Inputs,
  InputsSchema,
  type NamedLiteral,
  NamedLiteralSchema,
} from "@flyte-ts/contract/flyteidl2/task/common_pb.ts";
import type { TaskSpec } from "@flyte-ts/contract/flyteidl2/task/task_definition_pb.ts";
import { deterministicBinary, inputsHash, inputsObjectUri, invalidArgument, unimplemented } from "@flyte-ts/core";
import { joinUri, ObjectExistsError, type ObjectStore } from "@flyte-ts/platform/object-store";
import type { ActionDirectory } from "./directory.ts";
import { requireSegment } from "./object-names.ts";
import { fromStore } from "./store-errors.ts";

export interface UploadInputsDeps {
  directory: ActionDirectory;
  objects: ObjectStore;
}

export async function uploadInputs(
  { directory, objects }: UploadInputsDeps,
  request: UploadInputsRequest,
): Promise<MessageInitShape<typeof UploadInputsResponseSchema>> {
  const { project, domain } = placeOf(request);
  const spec = await taskSpecOf(directory, request);
  await directory.requireProject(project, domain);
  const inputs = withDefaults(request.inputs, spec);
  const bytes = deterministicBinary(InputsSchema, inputs);
  const base = request.baseDir || joinUri(objects.root, "uploads");
  const folder = joinUri(base, project, domain, "offloaded-inputs", createHash("sha256").update(bytes).digest("hex"));
  await store(objects, inputsObjectUri(folder), bytes);
  const ignored = spec.taskTemplate?.metadata?.cacheIgnoreInputVars ?? [];
  return { offloadedInputData: { uri: folder, inputsHash: inputsHash(inputs, ignored) } };
}

function placeOf({ id }: UploadInputsRequest): { project: string; domain: string } {
  if (id.case === undefined) throw invalidArgument("id is not set; send run_id or project_id");
  const project = id.case === "runId" ? id.value.project : id.value.name;
  return { project: requireSegment("project", project), domain: requireSegment("domain", id.value.domain) };
}

async function taskSpecOf(directory: ActionDirectory, { task }: UploadInputsRequest): Promise<TaskSpec> {
  switch (task.case) {
    case "taskSpec":
      return task.value;
    case "taskId":
      return directory.taskSpec(task.value);
    case "triggerName":
      throw unimplemented("inputs cannot be uploaded by trigger_name; send task_id of the trigger's task");
    default:
      throw invalidArgument("task is not set; send task_spec or task_id");
  }
}

/** The inputs in the order of the interface, missing ones from the defaults; names it does not know stay, at the end. */
function withDefaults(given: Inputs | undefined, spec: TaskSpec): Inputs {
  const rest = new Map((given?.literals ?? []).map((named) => [named.name, named]));
  const defaults = new Map(spec.defaultInputs.map(({ name, parameter }) => [name, parameter?.behavior]));
  const ordered: NamedLiteral[] = [];
  const order = spec.taskTemplate?.interface?.inputs?.variables.map((variable) => variable.key) ?? [];
  for (const name of new Set([...order, ...rest.keys(), ...defaults.keys()])) {
    const named = rest.get(name);
    const behavior = defaults.get(name);
    if (named) ordered.push(named);
    else if (behavior?.case === "default") {
      ordered.push(create(NamedLiteralSchema, { name, value: behavior.value }));
    }
  }
  return create(InputsSchema, { literals: ordered, context: given?.context ?? [] });
}

/** The name is the content's digest, so what exists already is the same and is not written again. */
async function store(objects: ObjectStore, uri: string, bytes: Uint8Array): Promise<void> {
  if (await fromStore(objects.head(uri))) return;
  const written = objects.put(uri, bytes, { ifAbsent: true }).catch((error: unknown) => {
    if (!(error instanceof ObjectExistsError)) throw error;
  });
  await fromStore(written);
}
