/**
 * Streams about one action: its details, its run's details, its cluster events. Each starts with what is, follows every
 * change and report, and ends when a terminal phase was sent.
 */
import { create } from "@bufbuild/protobuf";
import { type ClusterEvent, RunDetailsSchema } from "@flyte-ts/contract/flyteidl2/workflow/run_definition_pb.ts";
import {
  type GetActionLogContextRequest,
  type GetActionLogContextResponse,
  GetActionLogContextResponseSchema,
  type WatchActionDetailsRequest,
  type WatchActionDetailsResponse,
  WatchActionDetailsResponseSchema,
  type WatchClusterEventsRequest,
  type WatchClusterEventsResponse,
  WatchClusterEventsResponseSchema,
  type WatchRunDetailsRequest,
  type WatchRunDetailsResponse,
  WatchRunDetailsResponseSchema,
} from "@flyte-ts/contract/flyteidl2/workflow/run_service_pb.ts";
import { isTerminal, notFound, ROOT_ACTION } from "@flyte-ts/core";
import type { Database } from "@flyte-ts/platform/postgres";
import type { ChangeBus } from "../state-service/bus.ts";
import { coalescer } from "../state-service/coalescer.ts";
import { type ActionRow, readActions, readEvents } from "../state-service/store.ts";
import type { ActionReader } from "./action-reader.ts";
import { attemptsView } from "./attempts.ts";
import type { KnownRun } from "./run-cache.ts";

export interface DetailsDependencies {
  database: Database;
  reader: ActionReader;
  bus: ChangeBus;
}

export async function* watchRunDetails(
  dependencies: DetailsDependencies,
  { runId }: WatchRunDetailsRequest,
  signal: AbortSignal,
): AsyncGenerator<WatchRunDetailsResponse> {
  const { reader } = dependencies;
  const run = await reader.run(runId);
  for await (const row of states(dependencies, run, ROOT_ACTION, signal)) {
    const details = create(RunDetailsSchema, { runSpec: run.spec, action: await reader.details(run, row) });
    yield create(WatchRunDetailsResponseSchema, { details });
  }
}

export async function* watchActionDetails(
  dependencies: DetailsDependencies,
  { actionId }: WatchActionDetailsRequest,
  signal: AbortSignal,
): AsyncGenerator<WatchActionDetailsResponse> {
  const { reader } = dependencies;
  const run = await reader.run(actionId?.run);
  for await (const row of states(dependencies, run, actionId?.name ?? "", signal)) {
    yield create(WatchActionDetailsResponseSchema, { details: await reader.details(run, row) });
  }
}

/** The events of one attempt, each once. */
export async function* watchClusterEvents(
  dependencies: DetailsDependencies,
  { id, attempt }: WatchClusterEventsRequest,
  signal: AbortSignal,
): AsyncGenerator<WatchClusterEventsResponse> {
  const { database, reader } = dependencies;
  const run = await reader.run(id?.run);
  let sent = 0;
  for await (const row of states(dependencies, run, id?.name ?? "", signal)) {
    const attempts = attemptsView(row, await readEvents(database, row));
    const events: ClusterEvent[] = attempts.find((one) => one.attempt === attempt)?.clusterEvents ?? [];
    if (events.length > sent) yield create(WatchClusterEventsResponseSchema, { clusterEvents: events.slice(sent) });
    sent = events.length;
    // Nothing more is told of an attempt that was followed by another.
    if (row.attempts > attempt) return;
  }
}

export async function getActionLogContext(
  { database, reader }: Omit<DetailsDependencies, "bus">,
  { actionId, attempt }: GetActionLogContextRequest,
): Promise<GetActionLogContextResponse> {
  const { run, row } = await reader.action(actionId);
  const attempts = attemptsView(row, await readEvents(database, row));
  const found = attempts.find((one) => one.attempt === attempt);
  if (!found?.logContext) {
    throw notFound(`attempt ${attempt} of action ${row.name} of run ${run.name} has no log context (yet)`);
  }
  const { logContext, cluster, startTime, endTime } = found;
  return create(GetActionLogContextResponseSchema, {
    logContext,
    cluster,
    ...(startTime && { startTime }),
    ...(endTime && { endTime }),
  });
}

/** The action's row at once and after each change or report of it, up to its terminal one. */
async function* states(
  { database, bus }: DetailsDependencies,
  run: KnownRun,
  name: string,
  signal: AbortSignal,
): AsyncGenerator<ActionRow> {
  const pending = coalescer<string, true>({ signal });
  const unsubscribe = [
    bus.onRun(run.id, (changes) => {
      if (changes.some((change) => change.name === name)) pending.put(name, true);
    }),
    bus.onReports(run.id, (names) => {
      if (!names || names.includes(name)) pending.put(name, true);
    }),
  ];
  try {
    await bus.ready;
    do {
      const [row] = await readActions(database, [{ runId: run.id, name }]);
      if (!row) throw notFound(`run ${run.name} has no action ${name}`);
      yield row;
      if (isTerminal(row.phase)) return;
    } while ((await pending.next()).kind !== "over");
  } finally {
    for (const leave of unsubscribe) leave();
  }
}
