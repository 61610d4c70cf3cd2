/**
 * Runs attempts as resources of connectors: remote services that create, watch and delete something elsewhere (a query, a
 * job, a cluster) for the task types they tell.
 *
 * Promise: an attempt creates one resource at most, and a restart goes on with it. A connector that is away costs no
 * attempt: it waits and says why. When an attempt is released its resource has ended or is deleted, or a warning names it
 * as left behind.
 *
 * What cannot be had, because CreateTask is not idempotent and the protocol cannot list resources: when the executor or
 * the connection dies between the call and its answer, nobody can tell whether a resource exists. Such an attempt fails as
 * the system's, to be tried again, and its error says so; the next attempt has its own output folder.
 */
import { create } from "@bufbuild/protobuf";
import type { Resource } from "@flyte-ts/contract/flyteidl2/connector/connector_pb.ts";
import { LogContextSchema } from "@flyte-ts/contract/flyteidl2/core/execution_pb.ts";
import { StoreUnavailableError } from "@flyte-ts/platform/object-store";
import type { AttemptContext, AttemptDetails, AttemptError, Plugin, Step } from "../../executor/index.ts";
import { declaresOutputs, type Results } from "../../task-code/index.ts";
import type { ConnectorConfig } from "./config.ts";
import { type Connector, directory } from "./directory.ts";
import { digestOf, type Life, lives, pauseAfter, readState, type State, settle, writeState } from "./life.ts";
import { removeNote } from "./note.ts";
import type { Outcome } from "./outcome.ts";
import { advance, endOf, eventsOf, pollAfter, underwayOf, warning } from "./phase.ts";
import { categoryOf, type Made, problem, type RemoteOptions, remote, uncertain } from "./remote.ts";
import { remover } from "./remove.ts";

export interface ConnectorOptions extends Omit<RemoteOptions, "directory"> {
  connectors: readonly ConnectorConfig[];
}

/** Calls wake their attempts; this is for what nobody wakes. */
const LOOK_MS = 30_000;
const UNKNOWN_MS = 1_000;
const STORE_AWAY_MS = 2_000;
/** For a resource whose connector is not configured any more; otherwise its own limits count. */
const UNCONFIGURED = { troubleMs: 300_000, awayFirstMs: 1_000, awayMaxMs: 30_000 };

/** Throws when two connectors are configured for the same, or a certificate file cannot be read. */
export function connectorPlugin(options: ConnectorOptions): Plugin {
  const { log, objectStore } = options;
  const known = directory(options.connectors, log);
  const far = remote({ ...options, directory: known });
  const all = lives(objectStore);
  const remove = remover({ remote: far, log, connectorOf, lookMs: LOOK_MS });

  /** Who has the attempt's resource; a connector that moved is found by the task's type. */
  function connectorOf(context: AttemptContext, life: Life): Connector | undefined {
    if (life.connector) return life.connector;
    const scope = scopeOf(context);
    const { note } = life;
    if (!note) return undefined;
    const route = () => known.route({ name: note.taskType, version: note.version }, scope);
    const found = known.at(note.endpoint, scope) ?? connectorIn(route());
    if (found) life.connector = found;
    return found;
  }

  /** Until there is a resource. */
  function make(context: AttemptContext, life: Life, state: State): Step {
    const outcome = life.connector?.calls.take(context.key);
    switch (outcome?.kind) {
      case "created":
        return made(context, life, state, outcome);
      case "failed":
        return fail(context, life, state, outcome.error, outcome.gone);
      case "later":
        return wait(context, life, state, outcome);
    }
    if (life.connector?.calls.isBusy(context.key)) return busy(context, life, state, life.connector);
    const early = life.nextAt - context.now.getTime();
    if (early > 0) return { after: early };

    const route = known.route(categoryOf(context), scopeOf(context));
    if (route.kind === "none") {
      return fail(context, life, state, problem("ConnectorNotFound", route.message, "user", false), true);
    }
    if (route.kind === "unknown") {
      return { ...tell(context, life, state, "ConnectorUnknown", route.message), after: UNKNOWN_MS };
    }
    life.connector = route.connector;
    life.job = "create";
    const { calls } = route.connector;
    calls.start(context.key, () => far.create(context, route.connector), context.wake);
    return busy(context, life, state, route.connector);
  }

  function made(
    context: AttemptContext,
    life: Life,
    state: State,
    { note, saved }: Extract<Outcome, { kind: "created" }>,
  ): Step {
    life.note = note;
    life.saved = saved;
    life.changedAt = note.createdAt.getTime();
    settle(life);
    const connector = connectorOf(context, life);
    const after = connector?.config.pollFirstMs ?? 0;
    life.nextAt = context.now.getTime() + after;
    const transitions = advance(state.told, "initializing", context.now);
    const logContext = create(LogContextSchema, { connector: { endpoint: note.endpoint } });
    return {
      transitions,
      state: writeState({ ...state, told: transitions.length > 0 ? "initializing" : state.told }),
      details: { logContext },
      after,
    };
  }

  /** While there is a resource. */
  function watch(context: AttemptContext, life: Life, state: State, note: Made): Step {
    const connector = connectorOf(context, life);
    if (!connector) {
      const text = `no connector is configured any more for the resource made at ${note.endpoint}`;
      return trouble(context, life, state, { kind: "trouble", reason: "ConnectorNotConfigured", message: text });
    }
    const outcome = connector.calls.take(context.key);
    switch (outcome?.kind) {
      case "seen":
        return seen(context, life, state, connector, outcome.resource, outcome.results);
      case "failed":
        return fail(context, life, state, outcome.error, outcome.gone);
      case "later":
        return wait(context, life, state, outcome);
      case "trouble":
        return trouble(context, life, state, outcome);
    }
    if (connector.calls.isBusy(context.key)) return busy(context, life, state, connector);
    const early = life.nextAt - context.now.getTime();
    if (early > 0) return { after: early };
    life.job = "get";
    connector.calls.start(
      context.key,
      async () => {
        if (!life.saved) life.saved = await far.save(context, note);
        return far.get(context, connector, note);
      },
      context.wake,
    );
    return busy(context, life, state, connector);
  }

  function seen(
    context: AttemptContext,
    life: Life,
    state: State,
    connector: Connector,
    resource: Resource,
    results: Results | undefined,
  ): Step {
    const { now } = context;
    const said = digestOf(resource);
    const details = said === state.said ? undefined : news(resource, now);
    if (results) {
      const end = endOf({
        resource,
        results,
        declaresOutputs: declaresOutputs(context.task.taskTemplate),
        attemptUri: context.places.attemptUri,
        at: now,
      });
      const ran = end.phase === "succeeded" ? advance(state.told, "running", now) : [];
      return { transitions: [...ran, end], released: true, ...(details ? { details } : {}) };
    }
    const underway = underwayOf(resource);
    if (!underway) {
      const text = `the connector ${connector.config.endpoint} gives its resource no phase (${resource.phase})`;
      return trouble(context, life, state, { kind: "trouble", reason: "ConnectorTrouble", message: text });
    }
    settle(life);
    const transitions = advance(state.told, underway, now);
    if (transitions.length > 0) life.changedAt = now.getTime();
    // Jitter: attempts that began together do not ask together for ever.
    const after = pollAfter(now.getTime() - life.changedAt, connector.config) * (0.9 + Math.random() / 5);
    life.nextAt = now.getTime() + after;
    const next = { ...state, said, told: transitions.length > 0 ? underway : state.told };
    return {
      after,
      ...(transitions.length > 0 ? { transitions } : {}),
      ...(details ? { details } : {}),
      ...(transitions.length > 0 || details ? { state: writeState(next) } : {}),
    };
  }

  /** Nothing is lost by waiting. */
  function wait(context: AttemptContext, life: Life, state: State, outcome: Extract<Outcome, { kind: "later" }>): Step {
    // While the connector is away its calls wait by themselves.
    const after = outcome.away === undefined ? pauseAfter(life, connectorOf(context, life)?.config ?? UNCONFIGURED) : 0;
    life.nextAt = context.now.getTime() + after;
    return { ...tell(context, life, state, outcome.reason, outcome.message), after };
  }

  /** Waiting has an end: somebody must know what became of the resource. */
  function trouble(
    context: AttemptContext,
    life: Life,
    state: State,
    outcome: Extract<Outcome, { kind: "trouble" }>,
  ): Step {
    const nowMs = context.now.getTime();
    life.troubleSince ??= nowMs;
    const config = life.connector?.config;
    if (nowMs - life.troubleSince >= (config ?? UNCONFIGURED).troubleMs) {
      return fail(context, life, state, problem(outcome.reason, outcome.message, "system", true), false);
    }
    const after = pauseAfter(life, config ?? UNCONFIGURED);
    life.nextAt = nowMs + after;
    return { ...tell(context, life, state, outcome.reason, outcome.message), after };
  }

  function busy(context: AttemptContext, life: Life, state: State, { calls, config }: Connector): Step {
    if (calls.away === undefined) return { after: LOOK_MS };
    const text = `the connector ${config.endpoint} cannot be reached: ${calls.away}`;
    return { ...tell(context, life, state, "ConnectorUnreachable", text), after: LOOK_MS };
  }

  /** Says once why an attempt waits. */
  function tell(context: AttemptContext, life: Life, state: State, reason: string, message: string): Step {
    if (life.toldTrouble === reason) return {};
    life.toldTrouble = reason;
    log.warn({ attempt: context.key, reason, trouble: message }, "an attempt waits for its connector");
    const clusterEvents = [warning(context.now, reason, message)];
    const transitions = life.note ? [] : advance(state.told, "waitingForResources", context.now);
    if (transitions.length === 0) return { details: { clusterEvents } };
    return { details: { clusterEvents }, transitions, state: writeState({ ...state, told: "waitingForResources" }) };
  }

  function fail(context: AttemptContext, life: Life, state: State, error: AttemptError, gone: boolean): Step {
    const step: Step = { transitions: [{ phase: "failed", at: context.now, error }] };
    if (gone) return { ...step, released: true };
    life.nextAt = 0;
    return { ...step, state: writeState({ ...state, ended: true }), after: 0 };
  }

  /** While the object store is away nobody knows more than before: the attempt waits. */
  async function patient(context: AttemptContext, step: (life: Life) => Step): Promise<Step> {
    let life: Life;
    try {
      life = await all.open(context);
    } catch (error) {
      if (!(error instanceof StoreUnavailableError)) throw error;
      log.warn({ attempt: context.key, err: error }, "an attempt of a connector cannot be looked after yet");
      return { after: STORE_AWAY_MS };
    }
    return step(life);
  }

  return {
    get taskTypes() {
      return known.taskTypes;
    },
    learnsTaskTypes: known,
    reconcile: (context) =>
      patient(context, (life) => {
        const state = readState(context);
        if (state.ended) return remove(context, life);
        if (!life.note) return make(context, life, state);
        const { meta, endpoint } = life.note;
        if (meta) return watch(context, life, state, { ...life.note, meta });
        life.left = true;
        return fail(
          context,
          life,
          state,
          uncertain(endpoint, "the executor ended before the connector answered"),
          true,
        );
      }),
    abort: (context) => patient(context, (life) => remove(context, life)),
    async finalize(context) {
      const life = all.close(context.key);
      life?.connector?.calls.forget(context.key);
      if (life?.note && !life.left) await removeNote(objectStore, context.places.attemptUri);
    },
    run: (signal) => known.run(signal),
  };
}

function news(resource: Resource, at: Date): AttemptDetails {
  const clusterEvents = eventsOf(resource, at);
  return {
    ...(resource.logLinks.length > 0 ? { logInfo: resource.logLinks } : {}),
    ...(clusterEvents.length > 0 ? { clusterEvents } : {}),
  };
}

function connectorIn(route: ReturnType<ReturnType<typeof directory>["route"]>): Connector | undefined {
  return route.kind === "connector" ? route.connector : undefined;
}

function scopeOf({ lease }: AttemptContext) {
  return { project: lease.ref?.project ?? "", domain: lease.ref?.domain ?? "" };
}
