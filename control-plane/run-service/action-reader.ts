/** Reads an action or a run with all that its views need; a name that does not exist is NOT_FOUND. */
import { create, fromBinary } from "@bufbuild/protobuf";
import type { ActionIdentifier, RunIdentifier } from "@flyte-ts/contract/flyteidl2/common/identifier_pb.ts";
import { type TaskSpec, TaskSpecSchema } from "@flyte-ts/contract/flyteidl2/task/task_definition_pb.ts";
import { type ActionDetails, ClusterEventSchema } from "@flyte-ts/contract/flyteidl2/workflow/run_definition_pb.ts";
import { ActionPhase, invalidArgument, notFound, toTimestamp } from "@flyte-ts/core";
import type { Database, Sql } from "@flyte-ts/platform/postgres";
import type { DescribeIdentity } from "../identity-service/index.ts";
import { requireSpec, type SpecCache } from "../queue-service/specs.ts";
import { type ActionKey, type ActionRow, readActions, readEvents } from "../state-service/store.ts";
import { detailsView } from "./action-view.ts";
import { attemptsView } from "./attempts.ts";
import { type KnownRun, type RunCache, runKey } from "./run-cache.ts";

export interface ActionReader {
  run(id: RunIdentifier | undefined): Promise<KnownRun>;
  action(id: ActionIdentifier | undefined): Promise<{ run: KnownRun; row: ActionRow }>;
  taskSpec(row: ActionRow): Promise<TaskSpec | undefined>;
  details(run: KnownRun, row: ActionRow): Promise<ActionDetails>;
}

export interface ActionReaderOptions {
  database: Database;
  runs: RunCache;
  specs: SpecCache;
  identities: DescribeIdentity;
  /** Why no cluster may take a pending action, if that is so. */
  whyWaiting?: (sql: Sql, key: ActionKey) => Promise<{ message: string; since: Date } | undefined>;
}

export function actionReader({ database, runs, specs, identities, whyWaiting }: ActionReaderOptions): ActionReader {
  async function run(id: RunIdentifier | undefined): Promise<KnownRun> {
    if (!id) throw invalidArgument("the request names no run");
    const found = (await runs.byName(database, [id])).get(runKey(id));
    if (!found) throw notFound(`run ${id.name} does not exist in ${id.project}/${id.domain}`);
    return found;
  }

  async function taskSpec(row: ActionRow): Promise<TaskSpec | undefined> {
    if (!row.specDigest) return undefined;
    const loaded = await specs.load(database, [row.specDigest]);
    return fromBinary(TaskSpecSchema, requireSpec(loaded, row.specDigest).bytes);
  }

  return {
    run,
    taskSpec,
    async action(id) {
      const of = await run(id?.run);
      const name = id?.name ?? "";
      const [row] = await readActions(database, [{ runId: of.id, name }]);
      if (!row) throw notFound(`run ${of.name} has no action ${name}`);
      return { run: of, row };
    },
    async details(of, row) {
      const [task, events, trouble] = await Promise.all([
        taskSpec(row),
        readEvents(database, row),
        row.phase === ActionPhase.QUEUED ? whyWaiting?.(database, row) : undefined,
      ]);
      const attempts = attemptsView(row, events);
      if (trouble) {
        const { message, since } = trouble;
        attempts.at(-1)?.clusterEvents.push(create(ClusterEventSchema, { message, occurredAt: toTimestamp(since) }));
      }
      return detailsView(of, row, task, attempts, identities);
    },
  };
}
