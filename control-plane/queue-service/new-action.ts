/** From an action as a client enqueues it to the rows that are written. Pure. */
import { create, toBinary } from "@bufbuild/protobuf";
import { CatalogCacheStatus } from "@flyte-ts/contract/flyteidl2/core/catalog_pb.ts";
import type { TaskIdentifier, TaskSpec } from "@flyte-ts/contract/flyteidl2/task/task_definition_pb.ts";
import {
  ActionType,
  type ConditionAction,
  ConditionActionSchema,
  TaskActionSchema,
  type TraceAction,
  TraceActionSchema,
} from "@flyte-ts/contract/flyteidl2/workflow/run_definition_pb.ts";
import { ActionPhase, dueAt, type RouteClass, toDate, toMs } from "@flyte-ts/core";
import type { KnownRun } from "../run-service/run-cache.ts";
import type { NewAction } from "../state-service/store.ts";
import type { EnqueueItem } from "./enqueue.ts";
import type { KnownSpec } from "./specs.ts";
import { ItemState, type NewItem } from "./store.ts";

export interface WireAction {
  name: string;
  /** "" for the root. */
  parent: string;
  inputUri: string;
  runOutputBase: string;
  group: string;
  /** One of the three is set. */
  task?: { id: TaskIdentifier; spec: TaskSpec; cacheKey: string; queue: string };
  trace?: { action: TraceAction; error: Uint8Array | null };
  condition?: ConditionAction;
}

export interface Admitted {
  item: EnqueueItem;
  run: KnownRun;
  spec: KnownSpec | undefined;
  /** Of a task. */
  route: RouteClass | undefined;
}

export type CacheVerdict =
  | { kind: "hit"; key: string; outputUri: string }
  | { kind: "miss" | "wait"; key: string; serialize: boolean };

export function newRows(
  admitted: readonly Admitted[],
  verdicts: ReadonlyMap<Admitted, CacheVerdict>,
  now: Date,
): { actions: NewAction[]; items: NewItem[] } {
  const actions: NewAction[] = [];
  const items: NewItem[] = [];
  for (const one of admitted) {
    const action = newAction(one, verdicts.get(one), now);
    actions.push(action);
    const item = newItem(one, action, verdicts.get(one), now);
    if (item) items.push(item);
  }
  return { actions, items };
}

function newAction({ item, run, spec }: Admitted, verdict: CacheVerdict | undefined, now: Date): NewAction {
  const { action } = item;
  const base: NewAction = {
    runId: run.id,
    name: action.name,
    parent: action.parent || null,
    kind: ActionType.TASK,
    phase: ActionPhase.QUEUED,
    specDigest: null,
    detail: new Uint8Array(),
    taskProject: "",
    taskDomain: "",
    taskName: "",
    taskVersion: "",
    taskType: "",
    shortName: "",
    environmentName: "",
    groupName: action.group,
    inputUri: action.inputUri,
    runOutputBase: action.runOutputBase,
    outputUri: "",
    error: null,
    cacheKey: "",
    cacheStatus: CatalogCacheStatus.CACHE_DISABLED,
    createdAt: now,
    startedAt: null,
    endedAt: null,
  };
  if (action.task && spec) {
    const { id, queue } = action.task;
    const hit = verdict?.kind === "hit";
    return {
      ...base,
      phase: hit
        ? ActionPhase.SUCCEEDED
        : verdict?.kind === "wait"
          ? ActionPhase.WAITING_FOR_RESOURCES
          : ActionPhase.QUEUED,
      specDigest: spec.digest,
      detail: queue ? toBinary(TaskActionSchema, create(TaskActionSchema, { queue })) : base.detail,
      taskProject: id.project,
      taskDomain: id.domain,
      taskName: id.name,
      taskVersion: id.version,
      taskType: spec.policy.taskType,
      shortName: spec.policy.shortName,
      environmentName: spec.policy.environmentName,
      cacheKey: verdict?.key ?? "",
      ...(verdict && { cacheStatus: hit ? CatalogCacheStatus.CACHE_HIT : CatalogCacheStatus.CACHE_MISS }),
      ...(hit && { outputUri: verdict.outputUri, startedAt: now, endedAt: now }),
    };
  }
  if (action.trace) return { ...base, ...traceColumns(action.trace, now) };
  if (action.condition) {
    return {
      ...base,
      kind: ActionType.CONDITION,
      phase: ActionPhase.PAUSED,
      taskName: action.condition.name,
      detail: toBinary(ConditionActionSchema, action.condition),
    };
  }
  return base;
}

/** A trace is recorded when it is over. */
function traceColumns({ action, error }: NonNullable<WireAction["trace"]>, now: Date): Partial<NewAction> {
  const start = action.startTime ? toDate(action.startTime) : now;
  return {
    kind: ActionType.TRACE,
    phase: action.phase === ActionPhase.FAILED ? ActionPhase.FAILED : ActionPhase.SUCCEEDED,
    taskName: action.name,
    detail: toBinary(TraceActionSchema, action),
    outputUri: action.outputs?.outputUri ?? "",
    error,
    createdAt: start,
    startedAt: start,
    endedAt: action.endTime ? toDate(action.endTime) : now,
  };
}

function newItem(
  { item, spec, route }: Admitted,
  row: NewAction,
  verdict: CacheVerdict | undefined,
  now: Date,
): NewItem | undefined {
  const { action } = item;
  const key = { runId: row.runId, name: row.name, parent: row.parent };
  if (action.condition) {
    const timeout = toMs(action.condition.timeout);
    const dueAt = timeout > 0 ? new Date(now.getTime() + timeout) : null;
    return { ...key, slots: 0, routeClass: 0n, state: ItemState.held, cacheKey: null, dueAt };
  }
  if (!spec || !route || verdict?.kind === "hit") return undefined;
  return {
    ...key,
    slots: spec.policy.slots,
    routeClass: route.id,
    state: verdict?.kind === "wait" ? ItemState.waitsForCache : ItemState.pending,
    cacheKey: verdict && "serialize" in verdict && verdict.serialize ? verdict.key : null,
    dueAt: dueAt(spec.policy, { enqueuedAt: now, queuedAt: now, running: false }) ?? null,
  };
}
