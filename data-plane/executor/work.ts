/**
 * Moves one attempt one step: reads its record, asks its plugin, stores what it saw, then reports it.
 *
 * Promise: level-triggered. Whatever ends an attempt early (an abort, its runtime limit, a plugin that keeps throwing) is
 * a stored intent first and carried out by the plugin's `abort` until nothing runs any more; an attempt that came to its
 * own end before that keeps its own end.
 */
import { fromBinary } from "@bufbuild/protobuf";
import { type TaskSpec, TaskSpecSchema } from "@flyte-ts/contract/flyteidl2/task/task_definition_pb.ts";
import type { AttemptReport, LeasedAction } from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";
import { type Clock, toMs } from "@flyte-ts/core";
import { type ActionRecord, type ActionStore, amend, type EndingIntent } from "./action-store.ts";
import { type AttemptPlaces, attemptPlaces, isTerminal, type Transition } from "./attempt.ts";
import type { Log } from "./log.ts";
import type { AttemptContext, Plugin, PluginTable, Step } from "./plugin.ts";
import { attemptReport } from "./report.ts";

export interface WorkOptions {
  store: ActionStore;
  pluginFor: PluginTable;
  clock: Clock;
  log: Log;
  report(key: string, report: AttemptReport): void;
  wake(key: string): void;
  /** Throws of a plugin in a row after which the attempt fails as the system's. */
  maxPluginErrors?: number;
}

export interface Work {
  /** For the reconciler: answers when to look again. */
  reconcile(key: string, failures: number): Promise<number | undefined>;
  onError(key: string, error: unknown, failures: number): void;
  /** Reports again all that is known of a record; after a restart the control plane may have missed some of it. */
  reportAll(record: ActionRecord): void;
  /** Removes what an attempt left and forgets it. */
  retire(key: string): Promise<void>;
}

/** Until a plugin knows whether a task type is its own. */
const UNKNOWN_MS = 500;

interface Decoded {
  task?: TaskSpec;
  places: AttemptPlaces;
}

export function work(options: WorkOptions): Work {
  const { store, clock, log } = options;
  const maxPluginErrors = options.maxPluginErrors ?? 5;
  const decoded = new WeakMap<LeasedAction, Decoded>();
  /** Fan-outs lease the same task again and again. */
  let recent: { bytes: Uint8Array; task: TaskSpec } | undefined;
  /** What made the last step of a key throw. */
  const troubles = new Map<string, string>();

  function details(lease: LeasedAction): Decoded {
    let known = decoded.get(lease);
    if (!known) {
      known = { places: attemptPlaces(lease) };
      decoded.set(lease, known);
    }
    return known;
  }

  function taskOf(lease: LeasedAction): TaskSpec {
    const known = details(lease);
    if (!known.task) {
      if (!recent || Buffer.compare(recent.bytes, lease.taskSpec) !== 0) {
        recent = { bytes: lease.taskSpec, task: fromBinary(TaskSpecSchema, lease.taskSpec) };
      }
      known.task = recent.task;
    }
    return known.task;
  }

  function contextOf(record: ActionRecord, now: Date): AttemptContext {
    const { key, lease } = record;
    return {
      key,
      lease,
      get task() {
        return taskOf(lease);
      },
      places: details(lease).places,
      state: record.pluginState,
      startedAt: record.transitions.find((transition) => transition.phase === "running")?.at,
      now,
      wake: () => options.wake(key),
    };
  }

  /** Stores a step, then reports what is new in it. */
  async function apply(record: ActionRecord, step: Step): Promise<void> {
    const transitions = step.transitions ?? [];
    const news = transitions.length > 0 || step.details !== undefined || step.released === true;
    if (!news && step.state === undefined) return;
    await amend(store, record.key, (current) => ({
      ...current,
      ...(step.state === undefined ? {} : { pluginState: step.state }),
      transitions: transitions.length > 0 ? [...current.transitions, ...transitions] : current.transitions,
      details: step.details ? { ...current.details, ...step.details } : current.details,
      released: current.released || step.released === true,
    }));
    if (!news || record.ending?.phase === "dropped") return;
    options.report(
      record.key,
      attemptReport(record.lease, details(record.lease).places.attemptUri, {
        transitions,
        details: step.details,
        released: step.released,
      }),
    );
  }

  async function end(record: ActionRecord, ending: EndingIntent, plugin: Plugin): Promise<number | undefined> {
    const context = contextOf(record, clock.now());
    const step: Step = { ...(await plugin.abort(context, { phase: ending.phase, reason: ending.reason })) };
    if (step.released && ending.phase !== "dropped" && !isTerminal(record.transitions.at(-1))) {
      step.transitions = [endTransition(ending, clock.now())];
    }
    await apply({ ...record, ending }, step);
    if (step.released && ending.phase === "dropped") await retire(record.key);
    return step.released ? undefined : step.after;
  }

  async function retire(key: string): Promise<void> {
    const record = await store.get(key);
    if (!record) return;
    try {
      const plugin = options.pluginFor(record.lease.taskType);
      if (plugin !== "unknown") await plugin?.finalize?.(contextOf(record, clock.now()));
    } catch (error) {
      log.warn({ attempt: key, err: error }, "leftovers of an ended attempt could not be removed");
    }
    troubles.delete(key);
    await store.delete(key);
  }

  return {
    retire,
    async reconcile(key, failures) {
      const record = await store.get(key);
      if (!record || record.released) return undefined;
      const plugin = options.pluginFor(record.lease.taskType);
      if (plugin === "unknown") return UNKNOWN_MS;
      if (!plugin) {
        await apply(record, noPlugin(record.lease.taskType, clock.now()));
        return undefined;
      }
      let ending = record.ending;
      if (!ending && failures >= maxPluginErrors) {
        ending = (await amend(store, key, (current) => ({ ...current, ending: giveUp(failures, troubles.get(key)) })))
          ?.ending;
      }
      if (ending) return end(record, ending, plugin);

      const context = contextOf(record, clock.now());
      const step = await plugin.reconcile(context);
      await apply(record, step);
      if (step.released || isTerminal(step.transitions?.at(-1) ?? record.transitions.at(-1))) return step.after;

      const limitMs = toMs(taskOf(record.lease).taskTemplate?.metadata?.timeout);
      const startedAt = context.startedAt ?? step.transitions?.find((one) => one.phase === "running")?.at;
      if (limitMs <= 0 || !startedAt) return step.after;
      const leftMs = startedAt.getTime() + limitMs - clock.now().getTime();
      if (leftMs > 0) return step.after === undefined ? leftMs : Math.min(step.after, leftMs);
      await amend(store, key, (current) => (current.ending ? undefined : { ...current, ending: tooLong(limitMs) }));
      return 0;
    },
    onError(key, error, failures) {
      troubles.set(key, error instanceof Error ? error.message : String(error));
      log.warn({ attempt: key, failures, err: error }, "a step of an attempt failed and will be repeated");
    },
    reportAll(record) {
      const { attemptUri } = details(record.lease).places;
      options.report(record.key, attemptReport(record.lease, attemptUri, record));
    },
  };
}

function endTransition(ending: Exclude<EndingIntent, { phase: "dropped" }> | EndingIntent, at: Date): Transition {
  if ("error" in ending) return { phase: ending.phase, at, error: ending.error };
  return { phase: "aborted", at };
}

function tooLong(limitMs: number): EndingIntent {
  const message = `the attempt ran longer than its max_runtime of ${limitMs / 1000} s and was ended: raise the timeout of the task or make it faster`;
  return {
    phase: "timedOut",
    reason: message,
    error: { code: "MAX_RUNTIME_EXCEEDED", message, kind: "user", recoverable: true },
  };
}

function giveUp(failures: number, trouble: string | undefined): EndingIntent {
  const message = `the executor could not run this attempt, ${failures} steps in a row failed: ${trouble ?? "unknown trouble"}`;
  return {
    phase: "failed",
    reason: message,
    error: { code: "ExecutorError", message, kind: "system", recoverable: true },
  };
}

function noPlugin(taskType: string, at: Date): Step {
  const message = `this cluster has no plugin for tasks of type "${taskType}": deploy one, or send the task to a cluster that has it`;
  return {
    released: true,
    transitions: [
      { phase: "failed", at, error: { code: "PluginNotFound", message, kind: "system", recoverable: false } },
    ],
  };
}
