/**
 * The plugin port: how attempts of some task types become real work, and how the executor sees what came of it.
 *
 * A plugin looks at what is (its processes, pods, files), moves the attempt one step and says what it saw. The executor
 * never calls it twice at once for one attempt, calls it again whenever something may have changed, and may have
 * forgotten everything in between (a restart): `reconcile` must find its earlier work and go on with it, never start it
 * a second time. A throw is taken as trouble of the machine and repeated with backoff; a failure of the attempt itself is
 * a `failed` transition.
 */

import type { LogContext, TaskLog } from "@flyte-ts/contract/flyteidl2/core/execution_pb.ts";
import type { TaskSpec } from "@flyte-ts/contract/flyteidl2/task/task_definition_pb.ts";
import type { ClusterEvent } from "@flyte-ts/contract/flyteidl2/workflow/run_definition_pb.ts";
import type { LeasedAction, ResourceUsage } from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";
import type { AttemptPlaces, Transition } from "./attempt.ts";

/** A plugin's notes about an attempt: JSON, kept in the action store beside the lease. */
export type PluginState = { readonly [key: string]: string | number | boolean | null };

/** Things worth showing that are no phase. */
export interface AttemptDetails {
  logsAvailable?: boolean;
  logContext?: LogContext;
  logInfo?: readonly TaskLog[];
  clusterEvents?: readonly ClusterEvent[];
  usage?: ResourceUsage;
}

/** Why an attempt is to end before its work has. */
export interface Ending {
  phase: "aborted" | "timedOut" | "failed" | "dropped";
  reason: string;
}

export interface AttemptContext {
  readonly key: string;
  readonly lease: LeasedAction;
  /** Decoded at first use. */
  readonly task: TaskSpec;
  readonly places: AttemptPlaces;
  readonly state: PluginState | undefined;
  /** When the attempt was first RUNNING, also across restarts. */
  readonly startedAt: Date | undefined;
  readonly now: Date;
  /** Asks for another look at this attempt, soon; callable at any time, also from outside of a step. */
  wake(): void;
}

/** What a plugin saw and did. Everything is optional: an empty step says that nothing changed. */
export interface Step {
  /** Replaces the stored notes. */
  state?: PluginState;
  /** Phases entered since the last step, in order. */
  transitions?: readonly Transition[];
  details?: AttemptDetails;
  /** Nothing of the attempt runs any more in this cluster. */
  released?: boolean;
  /** Look again after so many milliseconds, even if nothing wakes this attempt. */
  after?: number;
}

type MaybePromise<T> = T | Promise<T>;

export interface LearnedTaskTypes {
  /** False until all types are known: meanwhile a type that no plugin names may still be this one's, so nobody takes it. */
  readonly known: boolean;
  /** Tells of each change of `taskTypes` or `known`. */
  onChange(changed: () => void): void;
}

export interface LackedTaskTypes {
  /** Those of `taskTypes` that the cluster cannot run now. Waits until that was looked at once. */
  now(signal: AbortSignal): Promise<readonly string[]>;
  /** Tells of each change. */
  onChange(changed: () => void): void;
}

export interface Plugin {
  /** `*` takes every type that no other plugin names. Read whenever it matters, see `learnsTaskTypes`. */
  readonly taskTypes: readonly string[];
  /** Of a plugin that is told its task types by others, such as connectors, while it runs. */
  readonly learnsTaskTypes?: LearnedTaskTypes;
  /** Of a plugin that needs what a cluster may not have, such as an operator. What is leased all the same is still its own. */
  readonly lacksTaskTypes?: LackedTaskTypes;
  reconcile(context: AttemptContext): MaybePromise<Step>;
  /**
   * Ends the attempt's work, step by step, until a step says `released`; an attempt that never began is released at once.
   * Reports no phase: the executor knows why it asked.
   */
  abort(context: AttemptContext, ending: Ending): MaybePromise<Omit<Step, "transitions">>;
  /** Removes what the attempt left, after the control plane has its end. */
  finalize?(context: AttemptContext): MaybePromise<void>;
  /**
   * Ends whatever belongs to attempts that are not held: leftovers of leases that went elsewhere. Ask for each attempt
   * just before touching it; new ones come in meanwhile.
   */
  sweep?(isHeld: (key: string) => Promise<boolean>): Promise<void>;
  /** Long-lived parts of the plugin; lives as long as the executor. */
  run?(signal: AbortSignal): Promise<void>;
}

/** The plugin of a task type; "unknown" while it may be one that a plugin has still to learn; undefined when nobody's. */
export type PluginTable = (taskType: string) => Plugin | "unknown" | undefined;

/**
 * Picks plugins by task type. Two plugins that both name a type are a mistake of the composition and refused. A learned
 * type goes to the first plugin that learned it, unless another one names it, and stays there: attempts that began keep
 * their plugin also when it is not offered any more.
 */
export function pluginTable(plugins: readonly Plugin[]): PluginTable {
  const named = new Map<string, Plugin>();
  for (const plugin of plugins) {
    if (plugin.learnsTaskTypes) continue;
    for (const type of plugin.taskTypes) {
      if (named.has(type)) throw new Error(`two plugins claim the task type "${type}": keep one`);
      named.set(type, plugin);
    }
  }
  const learning = plugins.filter((plugin) => plugin.learnsTaskTypes);
  return (type) => {
    const known = named.get(type);
    if (known) return known;
    const learned = learning.find((plugin) => plugin.taskTypes.includes(type));
    if (learned) named.set(type, learned);
    if (learned) return learned;
    if (learning.some((plugin) => !plugin.learnsTaskTypes?.known)) return "unknown";
    return named.get("*");
  };
}

/** What all plugins together take now, as `ConnectRequest.task_types` says it. */
export async function taskTypesOf(plugins: readonly Plugin[], signal: AbortSignal): Promise<string[]> {
  const lacking = new Set(
    (await Promise.all(plugins.map((plugin) => plugin.lacksTaskTypes?.now(signal) ?? []))).flat(),
  );
  const taken = new Set(plugins.flatMap((plugin) => plugin.taskTypes)).difference(lacking);
  return [...taken, ...[...lacking].map((type) => `!${type}`)];
}
