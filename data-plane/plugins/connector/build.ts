/**
 * From a leased attempt to what a connector is asked to run. Pure; inputs and secrets are handed in.
 *
 * What a connector may call its resource by: `task_execution_metadata.task_execution_id` and `output_prefix` are the same
 * whenever the same attempt is sent again, and others for each other attempt.
 */
import { clone, create, toBinary } from "@bufbuild/protobuf";
import {
  type CreateTaskRequest,
  CreateTaskRequestSchema,
} from "@flyte-ts/contract/flyteidl2/connector/connector_pb.ts";
import { ResourceType } from "@flyte-ts/contract/flyteidl2/core/identifier_pb.ts";
import { type TaskTemplate, TaskTemplateSchema } from "@flyte-ts/contract/flyteidl2/core/tasks_pb.ts";
import type { Inputs } from "@flyte-ts/contract/flyteidl2/task/common_pb.ts";
import type { LeasedAction } from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";
import type { AttemptPlaces } from "../../executor/index.ts";
import { environment, fillTemplate, templateValues } from "../../task-code/index.ts";
import { BadTaskError } from "./bad-task.ts";

export interface ConnectionArguments {
  secrets: Readonly<Record<string, string>>;
  configs: Readonly<Record<string, string>>;
}

export interface BuildParts {
  lease: LeasedAction;
  template: TaskTemplate;
  places: AttemptPlaces;
  inputs: Inputs;
  connection: ConnectionArguments;
  /** Endpoint and storage of this server. */
  server: Readonly<Record<string, string>>;
  maxBytes: number;
}

/** Throws {@link BadTaskError} when the task cannot be sent. */
export function buildRequest(parts: BuildParts): CreateTaskRequest {
  const { lease, places, inputs, connection } = parts;
  const template = rendered(parts);
  const request = create(CreateTaskRequestSchema, {
    inputs,
    template,
    outputPrefix: places.attemptUri,
    taskExecutionMetadata: metadata(parts),
    connection: { taskType: lease.taskType, secrets: { ...connection.secrets }, configs: { ...connection.configs } },
  });
  const size = toBinary(CreateTaskRequestSchema, request).length;
  if (size > parts.maxBytes) {
    throw new BadTaskError(
      "RequestTooLarge",
      `the task and its inputs have ${size} bytes, more than the ${parts.maxBytes} that the connector takes in a message: pass large inputs as files, or raise maxRequestBytes of the connector`,
    );
  }
  return request;
}

/** With the placeholders of its command line filled. */
function rendered({ lease, template, places, inputs }: BuildParts): TaskTemplate {
  if (template.target.case !== "container") return template;
  const copy = clone(TaskTemplateSchema, template);
  if (copy.target.case !== "container") return copy;
  const values = templateValues(lease, places);
  try {
    copy.target.value.args = copy.target.value.args.map((arg) => fillTemplate(arg, values, inputs));
  } catch (error) {
    throw new BadTaskError("BadTaskSpecification", error instanceof Error ? error.message : String(error));
  }
  return copy;
}

function metadata({ lease, template, places, server }: BuildParts) {
  const { ref } = lease;
  const runAs = template.securityContext?.runAs;
  const retries = template.metadata?.retries?.retries ?? 0;
  const container = template.target.case === "container" ? template.target.value.env : [];
  return {
    taskExecutionId: {
      taskId: template.id ?? { resourceType: ResourceType.TASK },
      nodeExecutionId: {
        nodeId: ref?.name ?? "",
        executionId: { project: ref?.project ?? "", domain: ref?.domain ?? "", name: ref?.run ?? "" },
      },
      retryAttempt: lease.attempt - 1,
    },
    namespace: templateValues(lease, places).namespace,
    labels: { ...lease.labels },
    annotations: { ...lease.annotations },
    k8sServiceAccount: lease.serviceAccount || runAs?.k8sServiceAccount || "",
    environmentVariables: environment({
      lease,
      template,
      base: {},
      task: Object.fromEntries(container.map(({ key, value }) => [key, value])),
      server,
    }),
    maxAttempts: retries + 1,
    interruptible: lease.interruptible ?? interruptibleOf(template),
    ...(runAs ? { identity: runAs } : {}),
  };
}

function interruptibleOf({ metadata }: TaskTemplate): boolean {
  return metadata?.interruptibleValue.case === "interruptible" && metadata.interruptibleValue.value;
}
