/** What each code of a connector comes to, over a real port: a connector that answers as a test tells it. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http2";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { Code, ConnectError } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { AsyncConnectorService, ConnectorMetadataService } from "@flyte-ts/contract/flyteidl2/connector/service_pb.ts";
import { TaskExecution_Phase } from "@flyte-ts/contract/flyteidl2/core/execution_pb.ts";
import { openFileStore } from "@flyte-ts/platform/object-store";
import { executor, memoryActionStore } from "../../executor/index.ts";
import { silentLog } from "../../executor/log.ts";
import { scriptedControlPlane } from "../../executor/testing/scripted-control-plane.ts";
import { connectorConfig } from "./config.ts";
import { connectorPlugin } from "./plugin.ts";
import { jobLease, reasonsIn } from "./testing/rig.ts";

interface Answers {
  create: Code | undefined;
  get: Code | undefined;
  remove: Code | undefined;
  list: Code | undefined;
  creates: number;
  deletes: number;
}

async function start(given: Partial<Answers> = {}) {
  const answers: Answers = {
    create: undefined,
    get: undefined,
    remove: undefined,
    list: undefined,
    creates: 0,
    deletes: 0,
    ...given,
  };
  const obey = (code: Code | undefined) => {
    if (code !== undefined) throw new ConnectError("a test asked for it", code);
  };
  const server = createServer(
    connectNodeAdapter({
      routes(router) {
        router.service(AsyncConnectorService, {
          createTask() {
            answers.creates += 1;
            obey(answers.create);
            return { resourceMeta: new Uint8Array([1]) };
          },
          getTask() {
            obey(answers.get);
            return { resource: { phase: TaskExecution_Phase.RUNNING } };
          },
          deleteTask() {
            answers.deletes += 1;
            obey(answers.remove);
            return {};
          },
        });
        router.service(ConnectorMetadataService, {
          listConnectors() {
            obey(answers.list);
            return { connectors: [{ name: "c", supportedTaskCategories: [{ name: "test_job" }] }] };
          },
        });
      },
    }),
  );
  const sessions = new Set<{ destroy(): void }>();
  server.on("session", (session) => sessions.add(session));
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const port = typeof address === "object" && address ? address.port : 0;
  const folder = await mkdtemp(join(tmpdir(), "flyte-ts-refusal-"));
  const objectStore = await openFileStore({ folder, root: "s3://flyte-data", sync: "none" });
  const plane = scriptedControlPlane();
  const stop = new AbortController();
  const config = {
    endpoint: `127.0.0.1:${port}`,
    insecure: true,
    pollFirstMs: 5,
    awayFirstMs: 5,
    awayMaxMs: 20,
    troubleMs: 200,
  };
  const done = executor({
    cluster: "east",
    link: plane.link,
    store: memoryActionStore(),
    plugins: [
      connectorPlugin({
        connectors: [connectorConfig.parse({ ...config, taskTypes: given.list === undefined ? [] : ["test_job"] })],
        objectStore,
        secrets: { read: async (_scope, refs) => refs.map(() => undefined) },
        taskEnvironment: () => ({}),
        log: silentLog,
      }),
    ],
    log: silentLog,
    slots: 10,
  }).run(stop.signal);
  return {
    answers,
    plane,
    told: (name: string) => plane.told(`7/${name}/1`),
    async [Symbol.asyncDispose]() {
      stop.abort();
      await done;
      for (const session of sessions) session.destroy();
      server.close();
      await objectStore.close();
      await rm(folder, { recursive: true });
    },
  };
}

test("a create that is refused for good fails as the user's and is not repeated", async () => {
  for (const code of [Code.InvalidArgument, Code.Unimplemented, Code.PermissionDenied]) {
    await using run = await start({ create: code });
    run.plane.lease(jobLease("a"));
    await run.plane.until(() => run.told("a").released);
    const { error } = run.told("a");
    assert.deepEqual([error?.code, error?.recoverability], ["ConnectorRefused", 0], Code[code]);
    assert.match(error?.message ?? "", new RegExp(`${Code[code]}.*a test asked for it`));
    assert.equal(run.answers.creates, 1);
  }
});

test("a busy connector is asked again until it has time", async () => {
  await using run = await start({ create: Code.ResourceExhausted });
  run.plane.lease(jobLease("a"));
  await run.plane.until(() => reasonsIn(run.told("a")).includes("ConnectorBusy"));
  run.answers.create = undefined;
  await run.plane.until(() => run.told("a").phases.includes("RUNNING"));
  assert.deepEqual(run.told("a").phases, ["WAITING_FOR_RESOURCES", "INITIALIZING", "RUNNING"]);
});

test("a create that may have been taken is not repeated", async () => {
  await using run = await start({ create: Code.Unavailable });
  run.plane.lease(jobLease("a"));
  await run.plane.until(() => run.told("a").released);
  assert.equal(run.told("a").error?.code, "ConnectorCreateUncertain");
  assert.equal(run.answers.creates, 1);
});

test("a get that is refused for good fails the attempt, and its resource is deleted", async () => {
  await using run = await start();
  run.plane.lease(jobLease("a"));
  await run.plane.until(() => run.told("a").phases.includes("RUNNING"));
  run.answers.get = Code.PermissionDenied;
  await run.plane.until(() => run.told("a").released);
  assert.equal(run.told("a").error?.code, "ConnectorRefused");
  assert.equal(run.answers.deletes, 1);
});

test("a connector that does not serve the type any more loses nothing: the attempt waits", async () => {
  await using run = await start({ list: Code.Unimplemented });
  run.plane.lease(jobLease("a"));
  await run.plane.until(() => run.told("a").phases.includes("RUNNING"));
  // It is configured for the type, so NOT_FOUND means the resource.
  run.answers.get = Code.NotFound;
  await run.plane.until(() => run.told("a").released);
  assert.equal(run.told("a").error?.code, "ResourceLost");

  run.answers.get = undefined;
  run.plane.lease(jobLease("b"));
  await run.plane.until(() => run.told("b").phases.includes("RUNNING"));
  run.answers.list = Code.Internal;
  run.answers.get = Code.NotFound;
  await run.plane.until(() => reasonsIn(run.told("b")).includes("ConnectorLostTaskType"));
  run.answers.get = undefined;
  const before = run.told("b").reports.length;
  run.plane.abort(jobLease("b"));
  await run.plane.until(() => run.told("b").released);
  assert.ok(run.told("b").reports.length > before);
  assert.equal(run.told("b").error, undefined);
});

test("a resource that is not there needs no deletion", async () => {
  await using run = await start({ remove: Code.NotFound });
  const lease = jobLease("a");
  run.plane.lease(lease);
  await run.plane.until(() => run.told("a").phases.includes("RUNNING"));
  run.plane.abort(lease);
  await run.plane.until(() => run.told("a").released);
  assert.equal(run.answers.deletes, 1);
  assert.deepEqual(reasonsIn(run.told("a")), []);
});
