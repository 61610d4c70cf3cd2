/**
 * From a leased attempt to what the operating system is asked to run: command line and basic variables. Pure; what must
 * be read first (inputs for `{{.inputs.x}}`) is handed in.
 */

import type { TaskTemplate } from "@flyte-ts/contract/flyteidl2/core/tasks_pb.ts";
import type { Inputs } from "@flyte-ts/contract/flyteidl2/task/common_pb.ts";
import { fillTemplate, type TemplateValues } from "../../task-code/index.ts";

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

export function commandLine(spec: CommandSpec, values: TemplateValues, inputs: Inputs | undefined): string[] {
  return spec.command.map((arg) => fillTemplate(arg, values, inputs));
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
