/** RunService: runs and their actions, made, read, watched, aborted, signalled. */
import { create } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import { type Literal, LiteralSchema } from "@flyte-ts/contract/flyteidl2/core/literals_pb.ts";
import { type Run, RunDetailsSchema, RunSchema } from "@flyte-ts/contract/flyteidl2/workflow/run_definition_pb.ts";
import type { EventPayload, RunService } from "@flyte-ts/contract/flyteidl2/workflow/run_service_pb.ts";
import { invalidArgument, notFound, ROOT_ACTION, unimplemented } from "@flyte-ts/core";
import type { Database } from "@flyte-ts/platform/postgres";
import { type DescribeIdentity, identityOf } from "../identity-service/index.ts";
import { type Aborts, actionKey, type ChangeBus, type Signals } from "../state-service/index.ts";
import { readActions } from "../state-service/store.ts";
import { actionData } from "./action-data.ts";
import type { ActionReader } from "./action-reader.ts";
import { actionView } from "./action-view.ts";
import type { CreateRun } from "./create-run.ts";
import { listActions } from "./list-actions.ts";
import { listRuns } from "./list-runs.ts";
import type { KnownRun, RunCache } from "./run-cache.ts";
import { watchActions } from "./watch-actions.ts";
import { getActionLogContext, watchActionDetails, watchClusterEvents, watchRunDetails } from "./watch-details.ts";
import { watchGroups } from "./watch-groups.ts";
import { watchRuns } from "./watch-runs.ts";

export interface RunServiceOptions {
  database: Database;
  bus: ChangeBus;
  runs: RunCache;
  reader: ActionReader;
  createRun: CreateRun;
  aborts: Aborts;
  signals: Signals;
  identities: DescribeIdentity;
}

export function runService(options: RunServiceOptions): ServiceImpl<typeof RunService> {
  const { database, runs, reader, createRun, aborts, signals, identities } = options;

  async function root(run: KnownRun) {
    const [row] = await readActions(database, [{ runId: run.id, name: ROOT_ACTION }]);
    if (!row) throw notFound(`run ${run.name} has no root action`);
    return row;
  }

  async function runView(run: KnownRun): Promise<Run> {
    return create(RunSchema, { action: actionView(run, await root(run), identities), labels: run.labels });
  }

  return {
    async createRun(request, context) {
      return { run: await runView(await createRun(request, identityOf(context).subject)) };
    },
    async getRunDetails({ runId }) {
      const run = await reader.run(runId);
      const action = await reader.details(run, await root(run));
      return { details: create(RunDetailsSchema, { runSpec: run.spec, action }) };
    },
    async getActionDetails({ actionId }) {
      const { run, row } = await reader.action(actionId);
      return { details: await reader.details(run, row) };
    },
    async getActionDataURIs({ actionId }) {
      if (!actionId) throw invalidArgument("the request names no action");
      const { inputsUri, outputsUri } = await actionData(reader, actionId);
      return { inputsUri, outputsUri };
    },
    async abortRun({ runId, reason }, context) {
      const id = runId && { run: runId, name: ROOT_ACTION };
      await aborts.lenient(id, reason ?? "", identityOf(context).subject);
      return {};
    },
    async abortAction({ actionId, reason }, context) {
      await aborts.lenient(actionId, reason, identityOf(context).subject);
      return {};
    },
    listRuns: (request) => listRuns(options, request),
    listActions: (request) => listActions(options, request),
    watchRuns: (request, { signal }) => watchRuns(options, request, signal),
    watchActions: (request, { signal }) => watchActions(options, request, signal),
    watchRunDetails: (request, { signal }) => watchRunDetails(options, request, signal),
    watchActionDetails: (request, { signal }) => watchActionDetails(options, request, signal),
    watchClusterEvents: (request, { signal }) => watchClusterEvents(options, request, signal),
    watchGroups: (request, { signal }) => watchGroups(options, request, signal),
    getActionLogContext: (request) => getActionLogContext(options, request),
    async getActionData() {
      throw unimplemented("payloads are served by flyteidl2.dataproxy.DataProxyService/GetActionData");
    },
    async signalEvent({ actionId, payload }, context) {
      const key = await actionKey(database, runs, actionId);
      await signals.signal(key, payloadLiteral(payload), identityOf(context).subject);
      return {};
    },
  };
}

/** A value that a person gave, as the literal that the waiting task receives. */
function payloadLiteral(payload: EventPayload | undefined): Literal {
  const value = payload?.value;
  if (!value?.case) throw invalidArgument("the signal has no value");
  const primitive = {
    boolValue: (v: unknown) => ({ case: "boolean" as const, value: v as boolean }),
    intValue: (v: unknown) => ({ case: "integer" as const, value: v as bigint }),
    floatValue: (v: unknown) => ({ case: "floatValue" as const, value: v as number }),
    stringValue: (v: unknown) => ({ case: "stringValue" as const, value: v as string }),
  }[value.case](value.value);
  return create(LiteralSchema, {
    value: { case: "scalar", value: { value: { case: "primitive", value: { value: primitive } } } },
  });
}
