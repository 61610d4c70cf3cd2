/**
 * WatchGroups: the runs of a window of time by task name. The full set first, its last message marked `sentinel`; then,
 * about a second after runs changed, the groups that look different, and `should_delete` for those that went. A window
 * that is over is told once.
 */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Sort, SortSchema } from "@flyte-ts/contract/flyteidl2/common/list_pb.ts";
import { ExecutionError_ErrorKind, ExecutionErrorSchema } from "@flyte-ts/contract/flyteidl2/core/execution_pb.ts";
import { type TaskGroup, TaskGroupSchema } from "@flyte-ts/contract/flyteidl2/workflow/run_definition_pb.ts";
import {
  type WatchGroupsRequest,
  type WatchGroupsResponse,
  WatchGroupsResponseSchema,
} from "@flyte-ts/contract/flyteidl2/workflow/run_service_pb.ts";
import {
  type ActionPhase,
  type Clock,
  type ListRules,
  parseListRequest,
  systemClock,
  toDate,
  toDuration,
  toTimestamp,
} from "@flyte-ts/core";
import type { Database } from "@flyte-ts/platform/postgres";
import type { DescribeIdentity } from "../identity-service/index.ts";
import type { SqlColumn } from "../list-sql.ts";
import type { ChangeBus } from "../state-service/bus.ts";
import { coalescer, systemTimer, type Timer } from "../state-service/coalescer.ts";
import { aggregateGroups, type GroupRow, type GroupWindow, groupFields, groupTieBreak } from "./groups-store.ts";
import { parseRunList } from "./list-runs.ts";
import { runsInScope } from "./list-store.ts";

export interface WatchGroupsDependencies {
  database: Database;
  bus: ChangeBus;
  identities: DescribeIdentity;
  clock?: Clock;
  timer?: Timer;
}

/** Groups in one message. */
const PAGE = 200;
const DEBOUNCE_MS = 1000;
/** A large window takes long to aggregate (1 s for 90,000 runs); its watcher takes at most a fifth of a connection. */
const REST = 4;

/** The answer has no token for a next page, so a request without a limit gets all groups there can reasonably be. */
const rules: ListRules<SqlColumn> = {
  columns: groupFields,
  defaultOrder: [{ field: "latest_run_time", descending: true }],
  tieBreak: groupTieBreak,
  defaultLimit: 1000,
  maxLimit: 1000,
};

export async function* watchGroups(
  { database, bus, identities, clock = systemClock, timer = systemTimer }: WatchGroupsDependencies,
  request: WatchGroupsRequest,
  signal: AbortSignal,
): AsyncGenerator<WatchGroupsResponse> {
  const { filters = [], ...page } = request.request ?? {};
  const known = request.knownSortFields.flatMap(knownSort);
  const query = parseListRequest({ ...page, ...(known.length > 0 && { sortByFields: known }) }, rules);
  const runFilter = parseRunList({ filters });
  const window = windowOf(request);
  const pending = coalescer<bigint, true>({ signal });
  const unsubscribe = bus.onRoots((changes) => {
    for (const { runId } of changes) pending.put(runId, true);
  });

  /** What the reader has, by task name. */
  let shown = new Map<string, Uint8Array>();
  let restMs = DEBOUNCE_MS;
  async function look(): Promise<TaskGroup[]> {
    const began = performance.now();
    const { rows } = await aggregateGroups(database, window, runFilter, query);
    restMs = Math.max(DEBOUNCE_MS, REST * (performance.now() - began));
    const groups = rows.map((row) => groupView(row, identities));
    const now = new Map(groups.map((group) => [group.taskName, toBinary(TaskGroupSchema, group)]));
    const gone = [...shown.keys()].filter((name) => !now.has(name));
    const changed = groups.filter(({ taskName }) => {
      const before = shown.get(taskName);
      return !before || Buffer.compare(before, now.get(taskName) ?? before) !== 0;
    });
    shown = now;
    return [...changed, ...gone.map((taskName) => create(TaskGroupSchema, { taskName, shouldDelete: true }))];
  }

  try {
    await bus.ready;
    yield* pages(await look(), true);
    if (window.end && window.end <= clock.now()) return;
    for (let turn = await pending.next(); turn.kind === "batch"; turn = await pending.next()) {
      const ids = turn.entries.map(([id]) => id);
      if ((await runsInScope(database, window.scope, ids)).length === 0) continue;
      if (!(await pause(timer, restMs, signal))) return;
      yield* pages(await look(), false);
    }
  } finally {
    unsubscribe();
  }
}

function* pages(groups: readonly TaskGroup[], first: boolean): Generator<WatchGroupsResponse> {
  if (groups.length === 0 && !first) return;
  for (let from = 0; from === 0 || from < groups.length; from += PAGE) {
    const taskGroups = groups.slice(from, from + PAGE);
    yield create(WatchGroupsResponseSchema, { taskGroups, sentinel: first && from + PAGE >= groups.length });
  }
}

/** False when the reader left meanwhile. */
function pause(timer: Timer, ms: number, signal: AbortSignal): Promise<boolean> {
  return new Promise((resolve) => {
    const cancel = timer(ms, () => {
      signal.removeEventListener("abort", left);
      resolve(true);
    });
    const left = () => {
      cancel();
      resolve(false);
    };
    if (signal.aborted) left();
    else signal.addEventListener("abort", left, { once: true });
  });
}

function windowOf({ scopeBy, startDate, endDate }: WatchGroupsRequest): GroupWindow {
  return {
    scope:
      scopeBy.case === "projectId"
        ? { kind: "project", project: scopeBy.value.name, domain: scopeBy.value.domain }
        : { kind: "all" },
    start: startDate ? toDate(startDate) : null,
    end: endDate ? toDate(endDate) : null,
  };
}

function knownSort({ sortBy }: WatchGroupsRequest["knownSortFields"][number]): Sort[] {
  if (sortBy.case !== "createdAt") return [];
  return [create(SortSchema, { key: "created_at", direction: sortBy.value })];
}

function groupView(row: GroupRow, identities: DescribeIdentity): TaskGroup {
  const other = row.otherErrors.map((bytes) => fromBinary(ExecutionErrorSchema, bytes).kind);
  const otherUser = other.filter((kind) => kind === ExecutionError_ErrorKind.USER).length;
  return create(TaskGroupSchema, {
    taskName: row.taskName,
    shortName: row.shortName,
    environmentName: row.environmentName,
    totalRuns: BigInt(row.totalRuns),
    latestRunTime: toTimestamp(row.latestRunTime),
    recentStatuses: row.recentNames.map((runName, at) => ({
      runName,
      phase: (row.recentPhases[at] ?? 0) as ActionPhase,
    })),
    averageFailureRate: row.failureRate,
    errorCounts: {
      userError: BigInt(row.userErrors + otherUser),
      systemError: BigInt(row.systemErrors + other.length - otherUser),
    },
    phaseCounts: Object.entries(row.phaseCounts)
      .map(([phase, count]) => ({ phase: Number(phase) as ActionPhase, count: BigInt(count) }))
      .sort((a, b) => a.phase - b.phase),
    createdBy: row.createdBy.flatMap((subject) => identities(subject) ?? []),
    ...(row.averageDurationMs !== null && { averageDuration: toDuration(row.averageDurationMs) }),
    ...(row.averageToRunningMs !== null && { averageTimeToRunning: toDuration(row.averageToRunningMs) }),
    ...(row.latestFinishedTime && { latestFinishedTime: toTimestamp(row.latestFinishedTime) }),
  });
}
