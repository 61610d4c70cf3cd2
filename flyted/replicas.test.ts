/** Two control planes on one database, as their clients see them: what is done through one is told by the other. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { create } from "@bufbuild/protobuf";
import { type Client, createClient, createRouterTransport } from "@connectrpc/connect";
import {
  ActionsService,
  type WatchForUpdatesResponse,
} from "@flyte-ts/contract/flyteidl2/actions/actions_service_pb.ts";
import { TaskSpecSchema } from "@flyte-ts/contract/flyteidl2/task/task_definition_pb.ts";
import { RunService, type WatchRunDetailsResponse } from "@flyte-ts/contract/flyteidl2/workflow/run_service_pb.ts";
import { identityInterceptor, localIdentity } from "@flyte-ts/control-plane/identity-service";
import { ActionPhase } from "@flyte-ts/core";
import { type ObjectStore, openFileStore } from "@flyte-ts/platform/object-store";
import { type Database, openDatabase } from "@flyte-ts/platform/postgres";
import { testDatabase } from "@flyte-ts/platform/postgres/testing.ts";
import { errorMapping, requestValidation, validation } from "@flyte-ts/platform/rpc";
import { createLogger } from "@flyte-ts/platform/telemetry";
import { controlPlane } from "./control-plane.ts";
import { objectStoreAccess } from "./store-access.ts";

const place = { org: "", project: "flytesnacks", domain: "development" };
const migrations = fileURLToPath(new URL("../control-plane/schema/migrations", import.meta.url));
const log = createLogger({ level: "silent", format: "json" });
const spec = create(TaskSpecSchema, {
  taskTemplate: {
    id: { resourceType: 1, ...place, name: "t", version: "1" },
    type: "core-sleep",
    metadata: { runtime: { version: "1", flavor: "x" } },
    interface: {},
    custom: { duration_ms: 3_600_000 },
  },
  environment: { name: "e" },
});

interface Replica {
  runs: Client<typeof RunService>;
  actions: Client<typeof ActionsService>;
  close(): Promise<void>;
}

async function replica(database: Database, objects: ObjectStore): Promise<Replica> {
  const identity = localIdentity("Ada");
  const domains = [{ id: place.domain, name: "Development" }];
  const projects = [place.project];
  const objectStore = objectStoreAccess({}, undefined);
  const parts = { database, objects, objectStore, log, identity, projects, domains, systemRetries: 3 };
  const control = await controlPlane(parts);
  const interceptors = [errorMapping(log), identityInterceptor(() => identity), validation(requestValidation())];
  const transport = createRouterTransport((router) => control.routes(router), { router: { interceptors } });
  return {
    runs: createClient(RunService, transport),
    actions: createClient(ActionsService, transport),
    close: () => control.close(),
  };
}

async function twoReplicas(t: TestContext): Promise<{ a: Replica; b: Replica; signal: AbortSignal }> {
  const left = new AbortController();
  const stops: (() => Promise<unknown>)[] = [];
  t.after(async () => {
    left.abort();
    for (const stop of stops.reverse()) await stop();
  });
  const folder = await mkdtemp(join(tmpdir(), "flyte-ts-replicas-"));
  stops.push(() => rm(folder, { recursive: true, force: true }));
  const objects = await openFileStore({ folder, root: "s3://flyte-data" });
  stops.push(() => objects.close());
  const first = await testDatabase(t, { migrations });
  const second = openDatabase({ url: first.url });
  stops.push(() => second.close());
  const [a, b] = await Promise.all([replica(first, objects), replica(second, objects)]);
  stops.push(
    () => a.close(),
    () => b.close(),
  );
  return { a, b, signal: left.signal };
}

/** Reads until a message answers `look`. */
async function until<T, R>(stream: AsyncIterator<T>, look: (message: T) => R | undefined): Promise<R> {
  for (;;) {
    const { value, done } = await stream.next();
    if (done) throw new Error("the stream ended early");
    const found = look(value);
    if (found !== undefined) return found;
  }
}

test("watches on one replica tell what is done through the other", async (t) => {
  const { a, b, signal } = await twoReplicas(t);
  const target = { case: "projectId", value: { organization: "", name: place.project, domain: place.domain } } as const;
  const allRuns = b.runs.watchRuns({ target }, { signal })[Symbol.asyncIterator]();
  await until(allRuns, ({ runs }) => (runs.length === 0 ? true : undefined));

  const run = { ...place, name: "r1" };
  await a.runs.createRun({
    id: { case: "runId", value: run },
    task: { case: "taskSpec", value: spec },
    inputWrapper: { case: "offloadedInputData", value: { uri: "s3://flyte-data/none", inputsHash: "-" } },
    runSpec: {},
  });
  const created = await until(allRuns, ({ runs }) => runs.find(({ action }) => action?.id?.run?.name === run.name));
  assert.equal(created.action?.status?.phase, ActionPhase.QUEUED);
  const { details } = await b.runs.getRunDetails({ runId: run });
  assert.equal(details?.action?.id?.name, "a0");

  const children = b.actions
    .watchForUpdates({ filter: { case: "parentActionId", value: { run, name: "a0" } } }, { signal })
    [Symbol.asyncIterator]();
  await until(children, ({ message }) => (message.case === "controlMessage" ? true : undefined));
  const child = { run, name: "c1" };
  const action = {
    actionId: child,
    parentActionName: "a0",
    inputUri: "s3://flyte-data/none/inputs.pb",
    runOutputBase: "s3://flyte-data/none/",
    spec: { case: "task", value: { id: { ...place, name: "t", version: "1" }, spec } },
  } as const;
  // Both replicas are asked, as a client does that lost its connection.
  await Promise.all([a.actions.enqueue({ action }), b.actions.enqueue({ action })]);
  await a.runs.abortAction({ actionId: child, reason: "enough" });
  const phaseOf = (name: string) => (update: WatchForUpdatesResponse) =>
    update.message.case === "actionUpdate" &&
    update.message.value.actionId?.name === name &&
    update.message.value.phase === ActionPhase.ABORTED
      ? true
      : undefined;
  await until(children, phaseOf("c1"));

  await b.runs.abortRun({ runId: run, reason: "all of it" });
  const ended = a.runs.watchRunDetails({ runId: run }, { signal })[Symbol.asyncIterator]();
  const phase = (message: WatchRunDetailsResponse) => message.details?.action?.status?.phase;
  await until(ended, (message) => (phase(message) === ActionPhase.ABORTED ? true : undefined));
  await until(allRuns, ({ runs }) => runs.find(({ action }) => action?.status?.phase === ActionPhase.ABORTED));
  const { actions } = await a.runs.listActions({ runId: run, request: { limit: 10 } });
  assert.deepEqual(actions.map(({ id }) => id?.name).sort(), ["a0", "c1"]);
});
