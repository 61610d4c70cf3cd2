/** What clients do, in short words: runs with a task, children, traces, conditions; and what they see of them. */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import type { ActionsService } from "@flyte-ts/contract/flyteidl2/actions/actions_service_pb.ts";
import type { RunIdentifier } from "@flyte-ts/contract/flyteidl2/common/identifier_pb.ts";
import { ResourceType } from "@flyte-ts/contract/flyteidl2/core/identifier_pb.ts";
import { LiteralSchema } from "@flyte-ts/contract/flyteidl2/core/literals_pb.ts";
import { SimpleType } from "@flyte-ts/contract/flyteidl2/core/types_pb.ts";
import type { RunSpecSchema } from "@flyte-ts/contract/flyteidl2/task/run_pb.ts";
import { type TaskSpec, TaskSpecSchema } from "@flyte-ts/contract/flyteidl2/task/task_definition_pb.ts";
import type { ActionDetails } from "@flyte-ts/contract/flyteidl2/workflow/run_definition_pb.ts";
import type { RunService } from "@flyte-ts/contract/flyteidl2/workflow/run_service_pb.ts";
import { ActionPhase, phaseName, ROOT_ACTION, toDuration } from "@flyte-ts/core";
import type { Database } from "@flyte-ts/platform/postgres";

export const place = { project: "shop", domain: "development" };

export interface TaskOptions {
  type?: string;
  retries?: number;
  backoffMs?: number;
  cache?: { serialize?: boolean; maxAgeMs?: number };
  queuedTimeoutMs?: number;
  deadlineMs?: number;
  accelerator?: string;
}

export function task(name: string, options: TaskOptions = {}): TaskSpec {
  const { type = "python-task", retries = 0, backoffMs = 0, cache, queuedTimeoutMs, deadlineMs, accelerator } = options;
  return create(TaskSpecSchema, {
    taskTemplate: {
      id: { resourceType: ResourceType.TASK, org: "test", ...place, name, version: "1" },
      type,
      interface: {},
      metadata: {
        runtime: { version: "1", flavor: "python" },
        retries: { retries, ...(backoffMs > 0 && { backoff: { base: toDuration(backoffMs), factor: 1 } }) },
        timeouts: {
          ...(queuedTimeoutMs && { queuedTimeout: toDuration(queuedTimeoutMs) }),
          ...(deadlineMs && { deadline: toDuration(deadlineMs) }),
        },
        ...(cache && {
          discoverable: true,
          discoveryVersion: "1",
          cacheSerializable: cache.serialize ?? false,
          ...(cache.maxAgeMs && { cacheMaxAge: toDuration(cache.maxAgeMs) }),
        }),
      },
      ...(accelerator && { extendedResources: { gpuAccelerator: { device: accelerator } } }),
    },
    shortName: name,
    environment: { name: "test" },
  });
}

export interface RunOptions {
  name?: string;
  project?: string;
  spec?: Omit<MessageInitShape<typeof RunSpecSchema>, "$typeName">;
}

export interface ChildOptions {
  parent?: string;
  cacheKey?: string;
  group?: string;
}

export interface Clients {
  runs: Client<typeof RunService>;
  actions: Client<typeof ActionsService>;
}

let made = 0;

export function play({ runs, actions }: Clients, database: Database) {
  const enqueue = async (
    run: RunIdentifier,
    name: string,
    parent: string,
    spec: NonNullable<Parameters<typeof actions.enqueue>[0]["action"]>["spec"],
    group = "",
  ): Promise<void> => {
    const base = `s3://flyte-data/${run.project}/${run.domain}/${run.name}`;
    await actions.enqueue({
      action: {
        actionId: { run, name },
        parentActionName: parent,
        inputUri: `${base}/${name}/inputs.pb`,
        runOutputBase: base,
        group,
        ...(spec && { spec }),
      },
    });
  };

  async function details(run: RunIdentifier, name: string): Promise<ActionDetails> {
    const answer = await runs.getActionDetails({ actionId: { run, name } });
    if (!answer.details) throw new Error(`action ${name} has no details`);
    return answer.details;
  }

  return {
    /** Creates a run of a task and gives its id. */
    async run(spec: TaskSpec, options: RunOptions = {}): Promise<RunIdentifier> {
      const { name = `run${++made}`, project = place.project, spec: runSpec = {} } = options;
      const answer = await runs.createRun({
        id: { case: "runId", value: { org: "test", project, domain: place.domain, name } },
        task: { case: "taskSpec", value: spec },
        inputWrapper: { case: "offloadedInputData", value: { uri: "s3://flyte-data/none", inputsHash: "-" } },
        runSpec,
      });
      const id = answer.run?.action?.id?.run;
      if (!id) throw new Error("the new run has no id");
      // The contract wants an organization in what clients send; no row knows one.
      return { ...id, org: "test" };
    },
    async child(run: RunIdentifier, name: string, spec: TaskSpec, options: ChildOptions = {}): Promise<void> {
      const { parent = ROOT_ACTION, cacheKey, group } = options;
      const id = { org: "test", ...place, name: spec.taskTemplate?.id?.name ?? name, version: "1" };
      const value = { id, spec, ...(cacheKey !== undefined && { cacheKey }) };
      await enqueue(run, name, parent, { case: "task", value }, group);
    },
    async trace(run: RunIdentifier, name: string, phase: ActionPhase, outputUri = "", parent = ROOT_ACTION) {
      await enqueue(run, name, parent, {
        case: "trace",
        value: { name: "step", phase, spec: {}, ...(outputUri && { outputs: { outputUri } }) },
      });
    },
    async condition(run: RunIdentifier, name: string, options: { timeoutMs?: number; type?: SimpleType } = {}) {
      const { timeoutMs, type = SimpleType.BOOLEAN } = options;
      await enqueue(run, name, ROOT_ACTION, {
        case: "condition",
        value: {
          name: "approval",
          type: { type: { case: "simple", value: type } },
          ...(timeoutMs && { timeout: toDuration(timeoutMs) }),
        },
      });
    },
    async signal(run: RunIdentifier, name: string, value: boolean | string): Promise<void> {
      const primitive =
        typeof value === "boolean" ? { case: "boolean" as const, value } : { case: "stringValue" as const, value };
      const literal = create(LiteralSchema, {
        value: { case: "scalar", value: { value: { case: "primitive", value: { value: primitive } } } },
      });
      await actions.signal({ actionId: { run, name }, parentActionName: ROOT_ACTION, value: literal });
    },
    details,
    /** `SUCCEEDED` and so on. */
    async phase(run: RunIdentifier, name: string): Promise<string> {
      return phaseName((await details(run, name)).status?.phase ?? ActionPhase.UNSPECIFIED);
    },
    /** Phases of all actions of all runs, by name. */
    async phases(): Promise<Record<string, string>> {
      const { rows } = await database.query<{ name: string; phase: number }>({
        text: "select name, phase from actions order by run_id, name",
      });
      return Object.fromEntries(rows.map(({ name, phase }) => [name, phaseName(phase)]));
    },
  };
}
