/** The variables of a task's process, wherever it runs. Pure. */
import type { TaskTemplate } from "@flyte-ts/contract/flyteidl2/core/tasks_pb.ts";
import type { LeasedAction } from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";

export interface EnvironmentParts {
  lease: LeasedAction;
  template: TaskTemplate | undefined;
  /** What the place gives to every process: PATH, HOME, … */
  base: Readonly<Record<string, string>>;
  /** The variables that the task names. */
  task: Readonly<Record<string, string>>;
  /** Endpoint and storage of this server. */
  server: Readonly<Record<string, string>>;
}

/**
 * The whole environment; nothing is inherited from the server's own. Later wins: base, the task's, the run's, the
 * server's (endpoint and storage), and what names the action, which nobody can replace.
 */
export function environment({ lease, template, base, task, server }: EnvironmentParts): Record<string, string> {
  return { ...base, ...task, ...lease.envs, ...server, ...identity(lease, template) };
}

/** What names the action and the task: nobody can replace it. */
export function identity(lease: LeasedAction, template: TaskTemplate | undefined): Record<string, string> {
  const ref = lease.ref;
  const id = template?.id;
  return {
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
