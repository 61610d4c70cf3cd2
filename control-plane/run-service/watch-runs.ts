/**
 * WatchRuns: the newest runs, an empty message that ends this snapshot, then each run whose root action changed. A slow
 * reader gets the latest state of each. After 15 s of silence comes an empty message, so that a dead connection shows.
 */
import { create } from "@bufbuild/protobuf";
import {
  type WatchRunsRequest,
  type WatchRunsResponse,
  WatchRunsResponseSchema,
} from "@flyte-ts/contract/flyteidl2/workflow/run_service_pb.ts";
import { invalidArgument } from "@flyte-ts/core";
import type { ChangeBus } from "../state-service/bus.ts";
import { coalescer, type Timer } from "../state-service/coalescer.ts";
import { type ListDependencies, parseRunList, runViews } from "./list-runs.ts";
import { listRunIds, type RunScope, runsInScope } from "./list-store.ts";

export interface WatchRunsDependencies extends ListDependencies {
  bus: ChangeBus;
  timer?: Timer;
}

/** Runs in the snapshot, and most of them in one later message. */
const PAGE = 100;
const GAP_MS = 100;
export const HEARTBEAT_MS = 15_000;

export async function* watchRuns(
  dependencies: WatchRunsDependencies,
  request: WatchRunsRequest,
  signal: AbortSignal,
): AsyncGenerator<WatchRunsResponse> {
  const { database, bus, timer } = dependencies;
  const scope = watchScope(request.target);
  const pending = coalescer<bigint, true>({
    signal,
    max: PAGE,
    gapMs: GAP_MS,
    silenceMs: HEARTBEAT_MS,
    ...(timer && { timer }),
  });
  const unsubscribe = bus.onRoots((changes) => {
    for (const { runId } of changes) pending.put(runId, true);
  });
  try {
    await bus.ready;
    const newest = await listRunIds(database, scope, false, parseRunList({ limit: PAGE }));
    const ids = newest.rows.map(({ id }) => id);
    if (ids.length > 0) yield create(WatchRunsResponseSchema, { runs: await runViews(dependencies, ids) });
    yield create(WatchRunsResponseSchema);
    for (let turn = await pending.next(); turn.kind !== "over"; turn = await pending.next()) {
      if (turn.kind === "silence") {
        yield create(WatchRunsResponseSchema);
        continue;
      }
      const changed = turn.entries.map(([id]) => id);
      const runs = await runViews(dependencies, await runsInScope(database, scope, changed));
      if (runs.length > 0) yield create(WatchRunsResponseSchema, { runs });
    }
  } finally {
    unsubscribe();
  }
}

function watchScope(target: WatchRunsRequest["target"]): RunScope {
  switch (target.case) {
    case "org":
      return { kind: "all" };
    case "projectId":
      return { kind: "project", project: target.value.name, domain: target.value.domain };
    case "taskId": {
      const { project, domain, name, version } = target.value;
      return { kind: "task", project, domain, name, version };
    }
    case "clusterId":
      return { kind: "cluster", name: target.value.name };
    case undefined:
      throw invalidArgument("WatchRuns needs a target: org, project_id, task_id or cluster_id");
  }
}
