/**
 * WatchActions: all actions of a run in order of time with the phases of their descendants, an empty message that ends
 * this snapshot, then actions that changed together with the ancestors whose counts that changes. Changes are told at
 * once when the stream is idle and gathered under load. After 15 s of silence comes an empty message.
 */
import { create } from "@bufbuild/protobuf";
import { type Filter, Filter_Function, Filter_FunctionSchema } from "@flyte-ts/contract/flyteidl2/common/list_pb.ts";
import { type EnrichedAction, EnrichedActionSchema } from "@flyte-ts/contract/flyteidl2/workflow/run_definition_pb.ts";
import {
  type WatchActionsRequest,
  type WatchActionsResponse,
  WatchActionsResponseSchema,
} from "@flyte-ts/contract/flyteidl2/workflow/run_service_pb.ts";
import { invalidArgument } from "@flyte-ts/core";
import type { Database, Sql } from "@flyte-ts/platform/postgres";
import type { DescribeIdentity } from "../identity-service/index.ts";
import type { ChangeBus } from "../state-service/bus.ts";
import { coalescer, type Timer } from "../state-service/coalescer.ts";
import { type ActionRow, readActions } from "../state-service/store.ts";
import type { ActionReader } from "./action-reader.ts";
import { type ActionTree, actionTree } from "./action-tree.ts";
import { actionView } from "./action-view.ts";
import { withNumbers } from "./enum-filters.ts";
import { readTree } from "./list-store.ts";
import { HEARTBEAT_MS } from "./watch-runs.ts";

export interface WatchActionsDependencies {
  database: Database;
  bus: ChangeBus;
  reader: ActionReader;
  identities: DescribeIdentity;
  timer?: Timer;
}

const SNAPSHOT_PAGE = 1000;
const MESSAGE = 500;
/** Changed actions that are read together; their ancestors fit into the same message, unless the run is all parents. */
const BATCH = 450;
const GAP_MS = 100;
const TREE_PAGE = 5000;

export async function* watchActions(
  { database, bus, reader, identities, timer }: WatchActionsDependencies,
  request: WatchActionsRequest,
  signal: AbortSignal,
): AsyncGenerator<WatchActionsResponse> {
  const meetsFilter = parseFilters(request.filter);
  const run = await reader.run(request.runId);
  const tree = actionTree();
  const pending = coalescer<string, true>({
    signal,
    max: BATCH,
    gapMs: GAP_MS,
    silenceMs: HEARTBEAT_MS,
    ...(timer && { timer }),
  });
  const changed = (name: string) => pending.put(name, true);
  const unsubscribe = bus.onRun(run.id, (changes) => {
    for (const { name } of changes) changed(name);
  });

  const read = async (names: readonly string[]) =>
    (
      await readActions(
        database,
        names.map((name) => ({ runId: run.id, name })),
      )
    ).sort(byTime);
  const enrich = (row: ActionRow): EnrichedAction =>
    create(EnrichedActionSchema, {
      action: actionView(run, row, identities),
      meetsFilter: meetsFilter(row),
      childrenPhaseCounts: tree.counts(row.name),
    });

  try {
    await bus.ready;
    const names = await fillTree(database, run.id, tree);
    for (let from = 0; from < names.length && !signal.aborted; from += SNAPSHOT_PAGE) {
      const rows = await read(names.slice(from, from + SNAPSHOT_PAGE));
      // Rows are newer than the tree; ancestors that were sent already are sent again after the snapshot.
      for (const row of rows) tree.apply(row, changed);
      yield create(WatchActionsResponseSchema, { enrichedActions: rows.map(enrich) });
    }
    yield create(WatchActionsResponseSchema);

    for (let turn = await pending.next(); turn.kind !== "over"; turn = await pending.next()) {
      if (turn.kind === "silence") {
        yield create(WatchActionsResponseSchema);
        continue;
      }
      const rows = await read(turn.entries.map(([name]) => name));
      const touched = new Set<string>();
      for (const row of rows) tree.apply(row, (ancestor) => touched.add(ancestor));
      for (const { name } of rows) touched.delete(name);
      const above = touched.size > 0 ? await read([...touched]) : [];
      // A row just read may be ahead of what was told; who is above it is sent with the next batch.
      for (const row of above) tree.apply(row, changed);
      const all = [...above, ...rows].sort(byTime);
      for (let from = 0; from < all.length; from += MESSAGE) {
        yield create(WatchActionsResponseSchema, { enrichedActions: all.slice(from, from + MESSAGE).map(enrich) });
      }
    }
  } finally {
    unsubscribe();
  }
}

/** Reads the whole tree, and gives the names in order of time. */
async function fillTree(sql: Sql, runId: bigint, tree: ActionTree): Promise<string[]> {
  const order: { name: string; at: number }[] = [];
  for (let after = ""; ; ) {
    const page = await readTree(sql, runId, after, TREE_PAGE);
    for (const row of page) {
      tree.apply(row, () => {});
      order.push({ name: row.name, at: row.createdAt.getTime() });
    }
    const last = page.at(-1);
    if (page.length < TREE_PAGE || !last) break;
    after = last.name;
  }
  return order.sort((a, b) => a.at - b.at || compare(a.name, b.name)).map(({ name }) => name);
}

function byTime(a: ActionRow, b: ActionRow): number {
  return a.createdAt.getTime() - b.createdAt.getTime() || compare(a.name, b.name);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Upstream's two: a phase out of several, and a part of the name. */
function parseFilters(filters: readonly Filter[]): (row: ActionRow) => boolean {
  const tests = withNumbers(filters.map((filter) => ({ ...filter, field: filter.field.toLowerCase() }))).map(
    parseFilter,
  );
  return (row) => tests.every((test) => test(row));
}

function parseFilter({ field, function: operator, values }: Filter): (row: ActionRow) => boolean {
  if (field === "phase" && operator === Filter_Function.VALUE_IN) {
    if (values.length === 0 || values.some((value) => !/^\d{1,2}$/.test(value)))
      throw invalidArgument(`the filter on phase takes numbers of phases, not ${JSON.stringify(values.join(", "))}`);
    const phases = new Set(values.map(Number));
    return ({ phase }) => phases.has(phase);
  }
  if (field === "name" && operator === Filter_Function.CONTAINS_CASE_INSENSITIVE) {
    const [text, ...more] = values;
    if (text === undefined || more.length > 0)
      throw invalidArgument(`the filter on name takes one text, not ${values.length}`);
    const part = text.toLowerCase();
    return ({ name, taskName, shortName }) =>
      [name, taskName, shortName].some((candidate) => candidate.toLowerCase().includes(part));
  }
  throw invalidArgument(
    `WatchActions cannot filter ${JSON.stringify(field)} with ${Filter_FunctionSchema.value[operator]?.name ?? operator}; it filters phase with VALUE_IN and name with CONTAINS_CASE_INSENSITIVE`,
  );
}
