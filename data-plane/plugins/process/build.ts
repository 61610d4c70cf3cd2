/**
 * From a leased attempt to what the operating system is asked to run: command line and environment. Pure; what must be
 * read first (inputs for `{{.inputs.x}}`) is handed in.
 */

import type { TaskTemplate } from "@flyte-ts/contract/flyteidl2/core/tasks_pb.ts";
import type { Inputs } from "@flyte-ts/contract/flyteidl2/task/common_pb.ts";
import type { LeasedAction } from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";
import { toDate } from "@flyte-ts/core";
import type { AttemptPlaces } from "../../executor/index.ts";
import { fillTemplate, type TemplateValues } from "./templates.ts";

/** The part of a task that says what to run. */
export interface CommandSpec {
  command: readonly string[];
  env: Readonly<Record<string, string>>;
}

/** Container or primary container of the pod; undefined when the task names nothing to run. */
export function commandSpec(template: TaskTemplate | undefined): CommandSpec | undefined {
  const target = template?.target;
  if (target?.case === "container") {
    const { command, args, env } = target.value;
    return named([...command, ...args], Object.fromEntries(env.map(({ key, value }) => [key, value])));
  }
  if (target?.case === "k8sPod") {
    const primary = target.value.primaryContainerName || template?.config.primary_container_name;
    const containers = list(target.value.podSpec?.containers);
    const container = containers.find((one) => one.name === primary) ?? containers[0];
    if (!container) return undefined;
    const env = list(container.env).flatMap(({ name, value }) =>
      typeof name === "string" && typeof value === "string" ? [[name, value] as const] : [],
    );
    return named([...strings(container.command), ...strings(container.args)], Object.fromEntries(env));
  }
  return undefined;
}

function named(command: readonly string[], env: Record<string, string>): CommandSpec | undefined {
  return command.length > 0 ? { command, env } : undefined;
}

function list(value: unknown): Record<string, unknown>[] {
  return Array.isArray(value) ? value.filter((one) => typeof one === "object" && one !== null) : [];
}

function strings(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((one) => typeof one === "string") : [];
}

export function templateValues(lease: LeasedAction, places: AttemptPlaces): TemplateValues {
  const ref = lease.ref;
  return {
    input: places.inputUri,
    inputPrefix: places.inputUri.replace(/\/[^/]*$/, ""),
    outputPrefix: places.attemptUri,
    rawOutputDataPrefix: places.rawDataPrefix,
    checkpointOutputPrefix: places.checkpointUri,
    prevCheckpointPrefix: places.previousCheckpointUri,
    perRetryUniqueKey: `${ref?.run}-${ref?.name}-${lease.attempt}`,
    taskTemplatePath: `${places.attemptUri}/task.pb`,
    namespace: `${ref?.project}-${ref?.domain}`,
    runName: ref?.run ?? "",
    actionName: ref?.name ?? "",
    runStartTime: (lease.runStartTime ? toDate(lease.runStartTime) : new Date(0)).toISOString(),
  };
}

export function commandLine(spec: CommandSpec, values: TemplateValues, inputs: Inputs | undefined): string[] {
  return spec.command.map((arg) => fillTemplate(arg, values, inputs));
}

export interface EnvironmentParts {
  lease: LeasedAction;
  template: TaskTemplate | undefined;
  spec: CommandSpec;
  /** What every process needs: PATH, HOME, … */
  base: Readonly<Record<string, string>>;
  /** Endpoint and storage of this server. */
  server: Readonly<Record<string, string>>;
}

/**
 * The whole environment; nothing is inherited from the server's own. Later wins: base, the task's, the run's, the
 * server's (endpoint and storage), and what names the action, which nobody can replace.
 */
export function environment({ lease, template, spec, base, server }: EnvironmentParts): Record<string, string> {
  const ref = lease.ref;
  const id = template?.id;
  return {
    ...base,
    ...spec.env,
    ...lease.envs,
    ...server,
    ACTION_NAME: ref?.name ?? "",
    RUN_NAME: ref?.run ?? "",
    FLYTE_ATTEMPT_NUMBER: String(lease.attempt - 1),
    FLYTE_INTERNAL_EXECUTION_ID: ref?.run ?? "",
    FLYTE_INTERNAL_EXECUTION_PROJECT: ref?.project ?? "",
    FLYTE_INTERNAL_EXECUTION_DOMAIN: ref?.domain ?? "",
    FLYTE_INTERNAL_TASK_PROJECT: id?.project ?? "",
    FLYTE_INTERNAL_TASK_DOMAIN: id?.domain ?? "",
    FLYTE_INTERNAL_TASK_NAME: id?.name ?? "",
    FLYTE_INTERNAL_TASK_VERSION: id?.version ?? "",
    FLYTE_INTERNAL_PROJECT: id?.project ?? "",
    FLYTE_INTERNAL_DOMAIN: id?.domain ?? "",
    FLYTE_INTERNAL_NAME: id?.name ?? "",
    FLYTE_INTERNAL_VERSION: id?.version ?? "",
    _F_PN: ref?.name ?? "",
    _U_ORG_NAME: "local",
    _U_RUN_BASE: lease.runOutputBase,
    _U_USE_ACTIONS: "1",
  };
}

export interface BaseParts {
  /** Goes first on the PATH, when there is one. */
  binFolder?: string | undefined;
  /** Shared by all tasks: libraries keep caches there. */
  home: string;
  /** The folder of all attempts. */
  attempts: string;
}

/** What every process gets before the task's own variables. */
export function baseEnvironment({ binFolder, home, attempts }: BaseParts): Record<string, string> {
  return {
    PATH: `${binFolder ? `${binFolder}:` : ""}/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
    HOME: home,
    LANG: "C.UTF-8",
    // A file takes the output: without this Python would keep lines back until its buffer is full.
    PYTHONUNBUFFERED: "1",
    // The SDK looks for a repository around its folder, and must not take one around the data folder for its own.
    GIT_CEILING_DIRECTORIES: attempts,
    DO_NOT_TRACK: "1",
    FLYTE_DISABLE_SENTRY: "1",
  };
}
