/**
 * CreateRun: resolves the task, stores the inputs, and enqueues the root action together with the run, in one commit. A
 * run that was answered exists and will be executed; a run that could not be stored is an error to the caller.
 */
import { createHash } from "node:crypto";
import { clone, create, toBinary } from "@bufbuild/protobuf";
import type { ProjectIdentifier, RunIdentifier } from "@flyte-ts/contract/flyteidl2/common/identifier_pb.ts";
import { RelationType } from "@flyte-ts/contract/flyteidl2/common/run_pb.ts";
import { type Inputs, InputsSchema, NamedLiteralSchema } from "@flyte-ts/contract/flyteidl2/task/common_pb.ts";
import { type RunSpec, RunSpecSchema, TaskSpecSource } from "@flyte-ts/contract/flyteidl2/task/run_pb.ts";
import {
  type TaskIdentifier,
  TaskIdentifierSchema,
  type TaskSpec,
} from "@flyte-ts/contract/flyteidl2/task/task_definition_pb.ts";
import type { CreateRunRequest } from "@flyte-ts/contract/flyteidl2/workflow/run_service_pb.ts";
import {
  type Clock,
  cacheKey,
  inputsHash,
  invalidArgument,
  isRunName,
  newRunName,
  ROOT_ACTION,
  systemClock,
  toDate,
  toTimestamp,
  unimplemented,
} from "@flyte-ts/core";
import type { ObjectStore } from "@flyte-ts/platform/object-store";
import type { Enqueue } from "../queue-service/index.ts";
import type { KnownRun } from "./run-cache.ts";
import type { NewRun } from "./store.ts";

export type CreateRun = (request: CreateRunRequest, createdBy: string) => Promise<KnownRun>;

export interface CreateRunOptions {
  queue: Enqueue;
  objects: ObjectStore;
  requireProject(project: string, domain: string): Promise<void>;
  /** The spec of a deployed task; NOT_FOUND when there is none. */
  deployedTask(id: TaskIdentifier): Promise<TaskSpec>;
  clock?: Clock;
}

export function createRun(options: CreateRunOptions): CreateRun {
  const { queue, objects, requireProject, deployedTask, clock = systemClock } = options;

  async function resolveTask({
    task,
  }: CreateRunRequest): Promise<{ id: TaskIdentifier; spec: TaskSpec; deployed: boolean }> {
    switch (task.case) {
      case "taskId":
        return { id: task.value, spec: await deployedTask(task.value), deployed: true };
      case "taskSpec": {
        const id = task.value.taskTemplate?.id;
        if (!id) throw invalidArgument("task_spec.task_template has no id");
        const { project, domain, name, version } = id;
        return {
          id: create(TaskIdentifierSchema, { project, domain, name, version }),
          spec: task.value,
          deployed: false,
        };
      }
      case "triggerName":
        throw unimplemented("this server has no triggers yet; run the task itself");
      default:
        throw invalidArgument("the request names no task; give task_id or task_spec");
    }
  }

  async function storeInputs(request: CreateRunRequest, spec: TaskSpec, folder: string) {
    if (request.inputWrapper.case === "offloadedInputData") return request.inputWrapper.value;
    const given = request.inputWrapper.case === "inputs" ? request.inputWrapper.value : create(InputsSchema);
    const inputs = withDefaults(given, spec);
    const bytes = toBinary(InputsSchema, inputs);
    // By content: the run's name may turn out to be taken, and then the inputs of that run must not have been touched.
    const uri = `${folder}/inputs/${createHash("sha256").update(bytes).digest("hex").slice(0, 32)}`;
    await objects.put(`${uri}/inputs.pb`, bytes);
    const ignored = spec.taskTemplate?.metadata?.cacheIgnoreInputVars ?? [];
    return { uri, inputsHash: inputsHash(inputs, ignored) };
  }

  return async (request, createdBy) => {
    const { project, domain, name } = runName(request.id);
    await requireProject(project, domain);
    const runSpec = clone(RunSpecSchema, request.runSpec ?? create(RunSpecSchema));
    if (runSpec.relation?.relationType === RelationType.RECOVER || runSpec.recover) {
      throw unimplemented("this server can not recover runs yet; rerun without --recover");
    }
    const { id, spec, deployed } = await resolveTask(request);
    const startTime = request.runStartTime ? toDate(request.runStartTime) : clock.now();
    runSpec.runStartTime ??= toTimestamp(startTime);
    runSpec.taskSpecSource = deployed ? TaskSpecSource.DEPLOYED : TaskSpecSource.EPHEMERAL;
    const folder = `${(runSpec.runBaseDir || objects.root).replace(/\/$/, "")}/${project}/${domain}/${name}`;
    const inputs = await storeInputs(request, spec, folder);
    const { run } = await queue.submit({
      run: {
        kind: "new",
        run: newRun({ project, domain, name, runSpec, startTime, createdBy, request, inputsHash: inputs.inputsHash }),
      },
      action: {
        name: ROOT_ACTION,
        parent: "",
        inputUri: inputs.uri,
        runOutputBase: `${folder}/`,
        group: "",
        task: { id, spec, cacheKey: rootCacheKey(spec, id.name, inputs.inputsHash), queue: runSpec.queue },
      },
    });
    return run;
  };
}

function runName(
  id: { case: "runId"; value: RunIdentifier } | { case: "projectId"; value: ProjectIdentifier } | { case?: undefined },
): { project: string; domain: string; name: string } {
  if (id.case === "projectId") return { project: id.value.name, domain: id.value.domain, name: newRunName() };
  if (id.case !== "runId") throw invalidArgument("the request names neither a run nor a project");
  const { project, domain, name } = id.value;
  if (!isRunName(name)) {
    throw invalidArgument(
      `run name ${JSON.stringify(name)} is not valid: at most 30 of a-z, 0-9 and -, beginning with a letter`,
    );
  }
  return { project, domain, name };
}

/** Inputs that the caller left out take the defaults of the task. */
function withDefaults(given: Inputs, spec: TaskSpec): Inputs {
  const names = new Set(given.literals.map(({ name }) => name));
  const missing = spec.defaultInputs.flatMap(({ name, parameter }) => {
    if (names.has(name) || parameter?.behavior.case !== "default") return [];
    return [create(NamedLiteralSchema, { name, value: parameter.behavior.value })];
  });
  if (missing.length === 0) return given;
  const inputs = clone(InputsSchema, given);
  inputs.literals.push(...missing);
  return inputs;
}

/** The root's key by the formula that a parent task uses for its children, so that both share their entries. */
function rootCacheKey(spec: TaskSpec, taskName: string, hash: string): string {
  const template = spec.taskTemplate;
  if (!template?.metadata?.discoverable) return "";
  const cacheVersion = template.metadata.discoveryVersion;
  return cacheKey({ inputsHash: hash, taskName, interface: template.interface, cacheVersion });
}

function newRun(from: {
  project: string;
  domain: string;
  name: string;
  runSpec: RunSpec;
  startTime: Date;
  createdBy: string;
  request: CreateRunRequest;
  inputsHash: string;
}): NewRun {
  const { project, domain, name, runSpec, startTime, createdBy, request } = from;
  const related = runSpec.relation?.relatedTo ?? runSpec.relatedTo;
  return {
    project,
    domain,
    name,
    runSpec: toBinary(RunSpecSchema, runSpec),
    labels: runSpec.labels?.values ?? {},
    source: request.source,
    createdBy,
    relatedTo: related?.name ?? "",
    relationType: runSpec.relation?.relationType ?? RelationType.UNSPECIFIED,
    inputsHash: from.inputsHash,
    startTime,
  };
}
