/**
 * A control plane on a real port, and real executors that dial it: what becomes of one that is cut off for longer than
 * its lease, and what the command line shows of all that.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { create } from "@bufbuild/protobuf";
import { createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { ClusterService } from "@flyte-ts/contract/flyteidl2/cluster/service_pb.ts";
import { TaskSpecSchema } from "@flyte-ts/contract/flyteidl2/task/task_definition_pb.ts";
import { RunService } from "@flyte-ts/contract/flyteidl2/workflow/run_service_pb.ts";
import { identityInterceptor, localIdentity } from "@flyte-ts/control-plane/identity-service";
import { ActionPhase } from "@flyte-ts/core";
import { remoteControlLink } from "@flyte-ts/data-plane/cluster-link";
import { executor, memoryActionStore, type Plugin } from "@flyte-ts/data-plane/executor";
import { sleepPlugin } from "@flyte-ts/data-plane/plugins/sleep";
import { openFileStore } from "@flyte-ts/platform/object-store";
import { testDatabase } from "@flyte-ts/platform/postgres/testing.ts";
import { startRpcServer } from "@flyte-ts/platform/rpc";
import { createLogger } from "@flyte-ts/platform/telemetry";
import { controlPlane } from "./control-plane.ts";
import { objectStoreAccess } from "./store-access.ts";

const place = { project: "flytesnacks", domain: "development" };
const migrations = fileURLToPath(new URL("../control-plane/schema/migrations", import.meta.url));
const main = fileURLToPath(new URL("../user-plane/cli/main.ts", import.meta.url));
const log = createLogger({ level: "silent", format: "json" });

async function eventually<T>(look: () => Promise<T | undefined | false> | T | undefined | false): Promise<T> {
  for (;;) {
    const seen = await look();
    if (seen !== undefined && seen !== false) return seen;
    await sleep(20);
  }
}

async function server(t: TestContext) {
  const stops: (() => Promise<unknown> | unknown)[] = [];
  t.after(async () => {
    for (const stop of stops.reverse()) await stop();
  });
  const folder = await mkdtemp(join(tmpdir(), "flyte-ts-clusters-"));
  stops.push(() => rm(folder, { recursive: true, force: true }));
  const objects = await openFileStore({ folder, root: "s3://flyte-data" });
  stops.push(() => objects.close());
  const identity = localIdentity("Ada");
  const control = await controlPlane({
    database: await testDatabase(t, { migrations }),
    objects,
    log,
    identity,
    projects: [place.project],
    domains: [{ id: place.domain, name: "Development" }],
    systemRetries: 3,
    objectStore: objectStoreAccess({}, undefined),
    leases: { leaseMs: 1500, heartbeatMs: 200 },
  });
  stops.push(() => control.close());
  const rpc = await startRpcServer({
    host: "127.0.0.1",
    port: 0,
    routes: control.routes,
    interceptors: [identityInterceptor(() => identity)],
    health: { ready: async () => {} },
    log,
  });
  stops.push(() => rpc.drain(1000));
  const stop = new AbortController();
  const running = control.run(stop.signal);
  stops.push(() => {
    stop.abort();
    return running;
  });
  const url = `http://127.0.0.1:${rpc.port}`;
  const transport = createConnectTransport({ baseUrl: url, httpVersion: "1.1" });
  return {
    url,
    port: rpc.port,
    objects,
    stops,
    runs: createClient(RunService, transport),
    clusters: createClient(ClusterService, transport),
    cli: (...args: string[]) => cli(url, args),
  };
}

/** The command line as people start it; gives its exit code and both outputs. */
function cli(url: string, args: string[]): Promise<{ code: number; out: string; err: string }> {
  return new Promise((resolve) => {
    const env = { ...process.env, FLYTE_TS_ENDPOINT: url };
    const child = execFile(process.execPath, [main, "cluster", ...args], { env }, (_error, out, err) =>
      resolve({ code: child.exitCode ?? -1, out, err }),
    );
  });
}

/** A line between an executor and the server that can be cut. */
async function cuttable(port: number, stops: (() => unknown)[]) {
  const sockets = new Set<Socket>();
  let cut = false;
  const proxy = createServer((near) => {
    if (cut) return void near.destroy();
    const far = connect(port, "127.0.0.1");
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(from);
      from.pipe(to);
      from.on("error", () => to.destroy());
      from.on("close", () => sockets.delete(from) && to.destroy());
    }
  });
  await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  stops.push(() => {
    for (const socket of sockets) socket.destroy();
    return new Promise((resolve) => proxy.close(resolve));
  });
  const address = proxy.address();
  return {
    url: `http://127.0.0.1:${typeof address === "object" ? address?.port : 0}`,
    cut() {
      cut = true;
      for (const socket of sockets) socket.destroy();
    },
    mend() {
      cut = false;
    },
  };
}

type Server = Awaited<ReturnType<typeof server>>;

/** A real executor with the sleep plugin; `ended` lists the attempts that it had to end early. */
function startExecutor(to: Server, cluster: string, url: string, more: { clusterUid?: string } = {}) {
  const store = memoryActionStore();
  const ended: string[] = [];
  let swept = 0;
  const naps = sleepPlugin({ objectStore: to.objects });
  const plugin: Plugin = {
    ...naps,
    abort(context, ending) {
      ended.push(`${ending.phase} attempt ${context.lease.attempt}`);
      return naps.abort(context, ending);
    },
    sweep: async () => void swept++,
  };
  const stop = new AbortController();
  const done = executor({
    cluster,
    name: `${cluster}-1`,
    link: remoteControlLink({ url, callMs: 2000 }),
    store,
    plugins: [plugin],
    log,
    slots: 4,
    kind: "test",
    version: "1",
    backoff: { firstMs: 20, maxMs: 200 },
    ...more,
  }).run(stop.signal);
  to.stops.push(() => {
    stop.abort();
    return done;
  });
  return {
    store,
    ended,
    swept: () => swept,
    attempts: async () => (await store.list()).map(({ lease }) => lease.attempt),
  };
}

async function run(to: Server, name: string, type = "core-sleep", durationMs = 3_600_000) {
  const id = { org: "", ...place, name };
  await to.runs.createRun({
    id: { case: "runId", value: id },
    task: {
      case: "taskSpec",
      value: create(TaskSpecSchema, {
        taskTemplate: {
          id: { resourceType: 1, org: "", ...place, name: "nap", version: "1" },
          type,
          metadata: { runtime: { version: "1", flavor: "x" } },
          interface: {},
          custom: { duration_ms: durationMs },
        },
        environment: { name: "e" },
      }),
    },
    inputWrapper: { case: "offloadedInputData", value: { uri: "s3://flyte-data/none", inputsHash: "-" } },
    runSpec: {},
  });
  return id;
}

test("cut off for longer than its lease, an executor loses its work to another, and ends its own when it returns", async (t) => {
  const it = await server(t);
  const line = await cuttable(it.port, it.stops);
  const cutOff = startExecutor(it, "island", line.url);
  const id = await run(it, "r1");
  const actionId = { run: id, name: "a0" };
  await eventually(async () => (await cutOff.attempts()).length === 1);
  const where = () => it.clusters.selectCluster({ resource: { case: "actionId", value: actionId }, operation: 1 });
  await eventually(async () => (await where()).cluster === "island");

  line.cut();
  const safe = startExecutor(it, "mainland", it.url);
  // The attempt is lost with its cluster, and the next one goes where there is somebody.
  await eventually(async () => (await safe.attempts()).includes(2));
  assert.deepEqual(await cutOff.attempts(), [1]);
  assert.match((await it.cli("list")).out, /^island +lost /m);
  await eventually(async () => (await where()).cluster === "mainland");

  const sweeps = cutOff.swept();
  line.mend();
  await eventually(async () => (await cutOff.attempts()).length === 0);
  assert.deepEqual(cutOff.ended, ["dropped attempt 1"]);
  await eventually(() => cutOff.swept() > sweeps);
  assert.match((await it.cli("list")).out, /^island +live /m);

  const { details } = await it.runs.getActionDetails({ actionId });
  const attempts = details?.attempts.map(({ attempt, cluster, phase }) => [attempt, cluster, phase]);
  assert.deepEqual(attempts, [
    [1, "island", ActionPhase.FAILED],
    [2, "mainland", ActionPhase.RUNNING],
  ]);
  assert.deepEqual(await safe.attempts(), [2]);
});

test("a line that is cut for less than the lease costs nothing", async (t) => {
  const it = await server(t);
  const line = await cuttable(it.port, it.stops);
  const one = startExecutor(it, "island", line.url);
  await run(it, "r1", "core-sleep", 400);
  await eventually(async () => (await one.attempts()).length === 1);
  line.cut();
  // Ends while nobody can be told.
  await eventually(async () => (await one.store.list()).some(({ released }) => released));
  line.mend();
  await eventually(async () => (await one.attempts()).length === 0);
  const { details } = await it.runs.getActionDetails({
    actionId: { run: { org: "", ...place, name: "r1" }, name: "a0" },
  });
  assert.deepEqual([details?.status?.phase, details?.attempts.length], [ActionPhase.SUCCEEDED, 1]);
});

test("the command line lists, shows, drains, resumes, explains and forgets", async (t) => {
  const it = await server(t);
  assert.match((await it.cli("list")).out, /^no cluster is registered/);
  startExecutor(it, "east", it.url, { clusterUid: "u1" });
  await eventually(async () => (await it.cli("list")).out.includes("east"));
  const listed = await it.cli("list");
  assert.match(
    listed.out,
    /^NAME +STATE +KIND +SLOTS +LEASED +WAITING +TASK TYPES +QUEUES +HEARD OF\neast +live +test +0\/4 +0 +0 +core-sleep +- +\d+s\n$/,
  );
  assert.equal(JSON.parse((await it.cli("list", "--json")).out).clusters[0].name, "east");
  assert.match((await it.cli("show", "east")).out, /^executor +east-1, 1$/m);

  const drained = await it.cli("drain", "east", "--reason", "new nodes");
  assert.deepEqual(drained, { code: 0, out: "east is given nothing new; it holds no action\n", err: "" });
  await run(it, "r1");
  const explained = await it.cli("explain", "r1/a0");
  assert.match(
    explained.out,
    /^no cluster may take this core-sleep action\n\nCLUSTER +MAY TAKE IT +BECAUSE\neast +no +is draining: new nodes\n$/,
  );
  assert.match((await it.cli("show", "east")).out, /^state +draining \(new nodes\)$/m);
  assert.equal((await it.cli("resume", "east")).out, "east takes actions again\n");
  await eventually(async () => /leased to cluster east: RUNNING/.test((await it.cli("explain", "r1")).out));

  const live = await it.cli("forget", "east");
  assert.equal(live.code, 1);
  assert.match(live.err, /^flyte-ts cluster: cluster east is live: .*stop the executor/);
  const unknown = await it.cli("show", "north");
  assert.deepEqual([unknown.code, unknown.out], [1, ""]);
  assert.match(unknown.err, /no cluster north is registered/);
  const nobody = await cli("http://127.0.0.1:9", ["list"]);
  assert.match(nobody.err, /^flyte-ts cluster: no server answers at http:\/\/127\.0\.0\.1:9 .*\n {2}next: flyte-ts up/);
  assert.equal((await cli("nowhere", ["list"])).code, 2);
});
