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
import { type ActionRecord, type ActionStore, amend, type EndingIntent, UnstorableError } from "./action-store.ts";
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
  reconcile(key: string): Promise<number | undefined>;
  onError(key: string, error: unknown, failures: number): void;
  /** Reports again all that is known of a record; after a restart the control plane may have missed some of it. */
  reportAll(record: ActionRecord): void;
  /** The control plane's last word on an attempt; carried out when its key is reconciled next. */
  settle(key: string, verdict: Verdict): void;
}

export interface Verdict {
  /** `over`: the control plane has its end, what it left is removed. `lost`: it is not ours any more, and is ended first. */
  kind: "over" | "lost";
  /** Of the lease that this is said of, not of later ones. */
  epoch: bigint;
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
  /** How often in a row a key's plugin threw, and what. Trouble of the store is nobody's fault and not counted. */
  const troubles = new Map<string, { count: number; message: string }>();
  const verdicts = new Map<string, Verdict>();

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
      transitions: transitions.reduce(entered, current.transitions),
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
        ending: record.ending,
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

  function troubled(key: string, error: unknown): void {
    const message = error instanceof Error ? error.message : String(error);
    troubles.set(key, { count: (troubles.get(key)?.count ?? 0) + 1, message });
  }

  /** The record as the control plane's verdict leaves it. */
  async function settled(record: ActionRecord): Promise<ActionRecord | undefined> {
    const { key } = record;
    const verdict = verdicts.get(key);
    if (!verdict || record.lease.epoch > verdict.epoch) return record;
    let left: ActionRecord | undefined;
    if (verdict.kind === "over") await retire(key);
    else left = await amend(store, key, (current) => ({ ...current, released: false, ending: givenUp }));
    if (verdicts.get(key) === verdict) verdicts.delete(key);
    if (left) log.warn({ attempt: key }, "the control plane gave this attempt up; its work is ended");
    return left;
  }

  /** One step of the plugin; `limitMs` is how long the attempt may run, 0 for ever. */
  async function step(record: ActionRecord, plugin: Plugin, context: AttemptContext) {
    let seen: Step;
    let limitMs: number;
    try {
      seen = await plugin.reconcile(context);
      limitMs = toMs(taskOf(record.lease).taskTemplate?.metadata?.timeout);
    } catch (error) {
      troubled(record.key, error);
      throw error;
    }
    try {
      await apply(record, seen);
    } catch (error) {
      // What the plugin noted is more than the store can hold.
      if (error instanceof UnstorableError) troubled(record.key, error);
      throw error;
    }
    troubles.delete(record.key);
    return { seen, limitMs };
  }

  return {
    settle(key, verdict) {
      verdicts.set(key, verdict);
      options.wake(key);
    },
    async reconcile(key) {
      const found = await store.get(key);
      const record = found && (await settled(found));
      if (!found) verdicts.delete(key);
      if (!record || record.released) return undefined;
      const plugin = options.pluginFor(record.lease.taskType);
      if (plugin === "unknown") return UNKNOWN_MS;
      if (!plugin) {
        await apply(record, noPlugin(record.lease.taskType, clock.now()));
        return undefined;
      }
      let ending = record.ending;
      const trouble = troubles.get(key);
      if (!ending && trouble && trouble.count >= maxPluginErrors) {
        ending = (await amend(store, key, (current) => ({ ...current, ending: current.ending ?? giveUp(trouble) })))
          ?.ending;
      }
      if (ending) return end(record, ending, plugin);

      const context = contextOf(record, clock.now());
      const { seen, limitMs } = await step(record, plugin, context);
      if (seen.released || isTerminal(seen.transitions?.at(-1) ?? record.transitions.at(-1))) return seen.after;

      const startedAt = context.startedAt ?? seen.transitions?.find((one) => one.phase === "running")?.at;
      if (limitMs <= 0 || !startedAt) return seen.after;
      const leftMs = startedAt.getTime() + limitMs - clock.now().getTime();
      if (leftMs > 0) return seen.after === undefined ? leftMs : Math.min(seen.after, leftMs);
      await amend(store, key, (current) => (current.ending ? undefined : { ...current, ending: tooLong(limitMs) }));
      return 0;
    },
    onError(key, error, failures) {
      log.warn({ attempt: key, failures, err: error }, "a step of an attempt failed and will be repeated");
    },
    reportAll(record) {
      const { attemptUri } = details(record.lease).places;
      options.report(record.key, attemptReport(record.lease, attemptUri, record));
    },
  };
}

const givenUp: EndingIntent = { phase: "dropped", reason: "the control plane gave this attempt up" };

/** A step may be repeated after it was stored: a phase is not entered twice, and none follows the last. */
function entered(before: readonly Transition[], next: Transition): readonly Transition[] {
  const last = before.at(-1);
  return last?.phase === next.phase || isTerminal(last) ? before : [...before, next];
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

function giveUp({ count, message: why }: { count: number; message: string }): EndingIntent {
  const message = `the executor could not run this attempt, ${count} steps in a row failed: ${why}`;
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
