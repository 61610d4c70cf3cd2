/** The pod plugin through the executor: a scripted Kubernetes and control plane, a real object store. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  ContainerError_Kind,
  ErrorDocumentSchema,
  ExecutionError_ErrorKind,
  LogContextSchema,
} from "@flyte-ts/contract/flyteidl2/core/execution_pb.ts";
import { ContainerSchema } from "@flyte-ts/contract/flyteidl2/core/tasks_pb.ts";
import { OutputsSchema } from "@flyte-ts/contract/flyteidl2/task/common_pb.ts";
import { ClusterEventSchema } from "@flyte-ts/contract/flyteidl2/workflow/run_definition_pb.ts";
import { toDate } from "@flyte-ts/core";
import { KubernetesError, type KubernetesReason } from "@flyte-ts/platform/kubernetes";
import { openFileStore } from "@flyte-ts/platform/object-store";
import { type ActionStore, executor, memoryActionStore } from "../../executor/index.ts";
import { silentLog } from "../../executor/log.ts";
import { keyOf, type LeaseParts, leaseOf } from "../../executor/testing/leases.ts";
import { scriptedControlPlane, type Told } from "../../executor/testing/scripted-control-plane.ts";
import { podConfig } from "./config.ts";
import type { ContainerState, PodStatus } from "./objects.ts";
import { podPlugin } from "./plugin.ts";
import type { PodLogs } from "./pods.ts";
import { scriptedPods } from "./testing/scripted-pods.ts";

const base = "s3://flyte-data/p/development/r1";
const outputs = { outputs: { variables: [{ key: "o0", value: {} }] } };

interface ClusterOptions {
  config?: object;
  secretValues?: Record<string, string>;
  logs?: PodLogs;
  store?: ActionStore;
}

async function cluster(t: TestContext, options: ClusterOptions = {}) {
  const folder = await mkdtemp(join(tmpdir(), "flyte-ts-pod-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const objectStore = await openFileStore({ folder, root: "s3://flyte-data", sync: "none" });
  const pods = scriptedPods();
  const plane = scriptedControlPlane();
  const store = options.store ?? memoryActionStore();

  function start() {
    const stop = new AbortController();
    const plugin = podPlugin({
      cluster: "east",
      pods,
      objectStore,
      secrets: {
        async read(_scope, refs) {
          return refs.map(({ key }) => {
            const value = options.secretValues?.[key];
            return value === undefined ? undefined : Buffer.from(value);
          });
        },
      },
      config: podConfig.parse(options.config ?? {}),
      log: silentLog,
      namespace: () => "ns",
      podTemplate: async () => undefined,
      taskEnvironment: () => ({ _U_EP_OVERRIDE: "api:80" }),
      ...(options.logs ? { logs: options.logs } : {}),
    });
    const done = executor({
      cluster: "east",
      link: plane.link,
      store,
      plugins: [plugin],
      log: silentLog,
      slots: 9,
    }).run(stop.signal);
    return async () => {
      stop.abort();
      await done;
    };
  }
  let end = start();

  async function eventually(condition: () => boolean | Promise<boolean>): Promise<void> {
    while (!(await condition())) await delay(5);
  }

  return {
    pods,
    plane,
    objectStore,
    store,
    eventually,
    /** Another executor process in the place of this one. */
    async restart() {
      await end();
      end = start();
    },
    lease(name: string, parts: LeaseParts = {}) {
      const { template, ...rest } = parts;
      const container = {
        case: "container" as const,
        value: create(ContainerSchema, { image: "task:1", args: ["a0"] }),
      };
      const lease = leaseOf({ name, taskType: "python", template: { target: container, ...template }, ...rest });
      plane.lease(lease);
      return { lease, key: keyOf(lease), pod: `r1-${name}-7-${lease.attempt - 1}` };
    },
    exists: (pod: string) => eventually(() => pods.pod(pod) !== undefined),
    phase: (key: string, phase: string) => plane.until(() => plane.told(key).phases.includes(phase)),
    async released(key: string): Promise<Told> {
      await plane.until(() => plane.told(key).released);
      return plane.told(key);
    },
    /** The control plane has taken the end, and what was left is removed. */
    retired: (key: string) => eventually(async () => (await store.get(key)) === undefined),
    async [Symbol.asyncDispose]() {
      await end();
      await objectStore.close();
    },
  };
}

const now = (ms = 0) => new Date(Date.now() + ms).toISOString();
const status = (name: string, state: ContainerState, phase: PodStatus["phase"] = "Running"): PodStatus => ({
  ...(phase ? { phase } : {}),
  containerStatuses: [{ name, state }],
});
const running = (name: string) => status(name, { running: { startedAt: now() } });
const ended = (name: string, exitCode = 0, more: object = {}) =>
  status(
    name,
    { terminated: { exitCode, startedAt: now(-2000), finishedAt: now(), ...more } },
    exitCode === 0 ? "Succeeded" : "Failed",
  );
const refusal = (reason: KubernetesReason, code: number, said: string) =>
  new KubernetesError({ verb: "create", resource: "pods", group: "", namespace: "ns", reason, status: code, said });

test("a task from lease to success: phases in order, log context, links, events; nothing is left", async (t) => {
  const config = { logLinks: [{ name: "logs", uris: ["http://x/{{.podName}}"] }] };
  await using one = await cluster(t, { config });
  const { key, pod } = one.lease("a0", { template: { interface: outputs } });
  await one.exists(pod);
  one.pods.say(pod, [
    { metadata: { name: "e1", uid: "e1" }, reason: "FailedScheduling", type: "Warning", lastTimestamp: now(-5000) },
  ]);
  const unschedulable = { type: "PodScheduled", status: "False", reason: "Unschedulable" } as const;
  one.pods.show(pod, { phase: "Pending", conditions: [unschedulable] }, {});
  // The script puts it on a node; what a scheduler would say decides until then.
  one.pods.show(pod, { phase: "Pending", conditions: [{ type: "PodScheduled", status: "True" }] });
  await one.phase(key, "INITIALIZING");
  one.pods.show(pod, running(pod));
  await one.phase(key, "RUNNING");
  await one.objectStore.put(`${base}/a0/1/outputs.pb`, toBinary(OutputsSchema, create(OutputsSchema)));
  one.pods.show(pod, ended(pod, 134));
  const told = await one.released(key);
  assert.deepEqual(told.phases, ["INITIALIZING", "RUNNING", "SUCCEEDED"]);
  assert.equal(told.outputUri, `${base}/a0/1`);
  const times = told.reports.flatMap(({ transitions }) => transitions.map(({ at }) => (at ? toDate(at).getTime() : 0)));
  assert.deepEqual(
    times,
    [...times].sort((a, b) => a - b),
  );
  const context = fromBinary(LogContextSchema, told.reports.at(-1)?.logContext ?? new Uint8Array());
  assert.equal(context.pods[0]?.podName, pod);
  assert.ok(context.pods[0]?.containers[0]?.process?.containerEndTime);
  assert.equal(told.reports.at(-1)?.logInfo.length, 1);
  const events = told.reports.flatMap(({ clusterEvents }) =>
    clusterEvents.map((bytes) => fromBinary(ClusterEventSchema, bytes)),
  );
  assert.deepEqual(
    events.map(({ reason, type }) => [reason, type]),
    [["FailedScheduling", 2]],
  );
  await one.retired(key);
  assert.equal(one.pods.pod(pod), undefined);
  assert.equal(one.pods.created.length, 1);
});

test("how it ended: results first, then what Kubernetes saw", async (t) => {
  await using one = await cluster(t);
  const document = create(ErrorDocumentSchema, {
    error: {
      code: "ValueError",
      message: "no",
      kind: ContainerError_Kind.NON_RECOVERABLE,
      origin: ExecutionError_ErrorKind.USER,
    },
  });
  await one.objectStore.put(`${base}/told/1/error.pb`, toBinary(ErrorDocumentSchema, document));
  const rows: [name: string, declares: boolean, status: (pod: string) => PodStatus, phase: string, code: string][] = [
    ["plain", false, (pod) => ended(pod), "SUCCEEDED", ""],
    ["missing", true, (pod) => ended(pod), "FAILED", "OutputsMissing"],
    ["told", true, (pod) => ended(pod), "FAILED", "ValueError"],
    ["code", true, (pod) => ended(pod, 3, { message: "Traceback" }), "FAILED", "ExitCode3"],
    ["oom", true, (pod) => ended(pod, 137, { reason: "OOMKilled" }), "FAILED", "OOMKilled"],
    ["evicted", true, () => ({ phase: "Failed", reason: "Evicted" }), "FAILED", "Interrupted"],
    ["deadline", true, () => ({ phase: "Failed", reason: "DeadlineExceeded" }), "TIMED_OUT", "MAX_RUNTIME_EXCEEDED"],
  ];
  for (const [name, declares, shown, phase, code] of rows) {
    const { key, pod } = one.lease(name, { template: declares ? { interface: outputs } : {} });
    await one.exists(pod);
    one.pods.show(pod, shown(pod));
    const told = await one.released(key);
    assert.equal(told.phases.at(-1), phase, name);
    assert.equal(told.error?.code ?? "", code, name);
  }
  assert.match(one.plane.told("7/code/1").error?.message ?? "", /last log lines:\nTraceback/);
});

test("a full quota makes it wait, with the quota's words, until there is room", async (t) => {
  await using one = await cluster(t, { config: { graces: { quotaRetryMs: 5 } } });
  const said = "exceeded quota: q, requested: pods=1, used: pods=5, limited: pods=5";
  one.pods.refusal = refusal("Forbidden", 403, said);
  const { key, pod } = one.lease("a0");
  await one.phase(key, "WAITING_FOR_RESOURCES");
  const calls = one.pods.calls;
  await one.eventually(() => one.pods.calls > calls + 3);
  const events = one.plane.told(key).reports.flatMap(({ clusterEvents }) => clusterEvents);
  assert.deepEqual(
    events.map((bytes) => fromBinary(ClusterEventSchema, bytes).message),
    [said],
  );
  one.pods.refusal = undefined;
  await one.exists(pod);
  one.pods.show(pod, ended(pod));
  assert.deepEqual((await one.released(key)).phases, ["WAITING_FOR_RESOURCES", "RUNNING", "SUCCEEDED"]);
});

test("what can never run fails at once and says what to do", async (t) => {
  await using one = await cluster(t);
  const rows: [name: string, LeaseParts, KubernetesError | undefined, code: string, message: RegExp][] = [
    [
      "image",
      { template: { target: { case: "container", value: {} } } },
      undefined,
      "BadTaskSpecification",
      /no image/,
    ],
    ["invalid", {}, refusal("Invalid", 422, "spec.x: Required"), "InvalidResource", /spec.x: Required/],
    [
      "rbac",
      {},
      refusal(
        "Forbidden",
        403,
        'pods is forbidden: User "u" cannot create resource "pods" in API group "" in the namespace "ns"',
      ),
      "Forbidden",
      /allow verb "create" on resource "pods"/,
    ],
    ["secret", { template: { securityContext: { secrets: [{ key: "k" }] } } }, undefined, "SecretNotFound", /`k`/],
    [
      "template",
      { template: { metadata: { podTemplateName: "none" } } },
      undefined,
      "BadTaskSpecification",
      /PodTemplate "none"/,
    ],
  ];
  for (const [name, parts, refused, code, message] of rows) {
    one.pods.refusal = refused;
    const template = { target: { case: "container", value: { image: "i" } } as const, ...parts.template };
    const { key } = one.lease(name, { template });
    const told = await one.released(key);
    assert.deepEqual(told.phases, ["FAILED"], name);
    assert.equal(told.error?.code, code, name);
    assert.match(told.error?.message ?? "", message, name);
  }
  assert.deepEqual(one.pods.created, []);
});

test("a pod that cannot start is deleted before its attempt is released", async (t) => {
  await using one = await cluster(t, { config: { graces: { imagePullMs: 0 } } });
  const { key, pod } = one.lease("a0");
  await one.exists(pod);
  one.pods.show(pod, status(pod, { waiting: { reason: "ErrImagePull", message: "not found" } }, "Pending"));
  await one.phase(key, "FAILED");
  await one.eventually(() => one.pods.pod(pod)?.metadata.deletionTimestamp !== undefined);
  assert.equal(one.plane.told(key).released, false);
  one.pods.vanish(pod);
  const told = await one.released(key);
  assert.equal(told.error?.code, "ErrImagePull");
  assert.equal(one.pods.created.length, 1);
});

test("the primary container ends, a sidecar goes on: the pod is ended, its attempt then released", async (t) => {
  const log: string[] = [];
  const logs: PodLogs = {
    follow: async (_uri, pod) => void log.push(`follow ${pod.metadata.name}`),
    finish: async (uri) => void log.push(`finish ${uri}`),
  };
  await using one = await cluster(t, { logs });
  const podSpec = {
    containers: [
      { name: "main", image: "i" },
      { name: "side", image: "s" },
    ],
  };
  const { key, pod } = one.lease("a0", {
    template: { target: { case: "k8sPod", value: { podSpec, primaryContainerName: "main" } } },
  });
  await one.exists(pod);
  const side = { name: "side", state: { running: { startedAt: now() } } };
  one.pods.show(pod, running("main"));
  await one.phase(key, "RUNNING");
  one.pods.show(pod, {
    phase: "Running",
    containerStatuses: [{ name: "main", state: { terminated: { exitCode: 0, finishedAt: now() } } }, side],
  });
  await one.phase(key, "SUCCEEDED");
  await one.eventually(() => one.pods.pod(pod)?.metadata.deletionTimestamp !== undefined);
  assert.equal(one.plane.told(key).released, false);
  one.pods.vanish(pod);
  const told = await one.released(key);
  assert.deepEqual(told.phases, ["RUNNING", "SUCCEEDED"]);
  assert.equal(
    told.reports.some(({ logsAvailable }) => logsAvailable),
    true,
  );
  assert.deepEqual(new Set(log), new Set([`follow ${pod}`, `finish ${base}/a0/1`]));
});

test("a pod that vanished: its results if it left any, else the system's fault", async (t) => {
  await using one = await cluster(t);
  await one.objectStore.put(`${base}/done/1/outputs.pb`, toBinary(OutputsSchema, create(OutputsSchema)));
  for (const name of ["done", "lost"]) {
    const { key, pod } = one.lease(name);
    await one.exists(pod);
    one.pods.show(pod, running(pod));
    await one.phase(key, "RUNNING");
    one.pods.vanish(pod);
    await one.released(key);
  }
  assert.deepEqual(one.plane.told("7/done/1").phases, ["RUNNING", "SUCCEEDED"]);
  const lost = one.plane.told("7/lost/1");
  assert.deepEqual(lost.phases, ["RUNNING", "FAILED"]);
  assert.deepEqual(
    [lost.error?.code, lost.error?.kind],
    ["ResourceDeletedExternally", ExecutionError_ErrorKind.SYSTEM],
  );
});

test("an abort leaves no pod and no Secret, whenever it comes", async (t) => {
  await using one = await cluster(t, { secretValues: { k: "v" } });
  const template = { securityContext: { secrets: [{ key: "k" }] } };
  const { lease, key, pod } = one.lease("a0", { template });
  await one.exists(pod);
  assert.deepEqual([...one.pods.secrets], [pod]);
  one.pods.show(pod, running(pod));
  await one.phase(key, "RUNNING");
  one.plane.abort(lease);
  await one.eventually(() => one.pods.pod(pod)?.metadata.deletionTimestamp !== undefined);
  assert.equal(one.plane.told(key).released, false);
  assert.equal(one.pods.removals[0]?.graceSeconds, 30);
  one.pods.vanish(pod);
  assert.deepEqual((await one.released(key)).phases, ["RUNNING", "ABORTED"]);

  const early = one.lease("early", { template });
  await one.exists(early.pod);
  one.plane.abort(early.lease);
  assert.deepEqual((await one.released(early.key)).phases.at(-1), "ABORTED");
  assert.equal(one.pods.pod(early.pod), undefined);

  one.pods.refusal = refusal("Forbidden", 403, "exceeded quota: q, requested: pods=1, used: pods=5, limited: pods=5");
  const never = one.lease("never", { template });
  await one.phase(never.key, "WAITING_FOR_RESOURCES");
  one.plane.abort(never.lease);
  await one.released(never.key);
  assert.deepEqual([...one.pods.secrets], []);
});

test("a restarted executor goes on with its pods, whether its store remembers them or not", async (t) => {
  for (const forgets of [false, true]) {
    const store = memoryActionStore();
    await using one = await cluster(t, { store });
    const { key, pod } = one.lease("a0");
    await one.exists(pod);
    one.pods.show(pod, running(pod));
    await one.phase(key, "RUNNING");
    if (forgets) await store.delete(key);
    await one.restart();
    one.pods.show(pod, ended(pod));
    const told = await one.released(key);
    assert.deepEqual(told.phases.slice(-2), ["RUNNING", "SUCCEEDED"]);
    assert.equal(one.pods.created.length, 1);
  }
});

test("while Kubernetes is away no attempt fails, however long", async (t) => {
  await using one = await cluster(t);
  const { key, pod } = one.lease("a0");
  await one.exists(pod);
  one.pods.show(pod, running(pod));
  await one.phase(key, "RUNNING");
  one.pods.away = refusal("Unreachable", 0, "ECONNREFUSED");
  const late = one.lease("late");
  const calls = one.pods.calls;
  for (let i = 0; i < 20; i++) one.pods.say(pod, []);
  await one.eventually(() => one.pods.calls > calls + 2);
  one.pods.away = undefined;
  one.pods.show(pod, ended(pod));
  assert.deepEqual((await one.released(key)).phases, ["RUNNING", "SUCCEEDED"]);
  await one.exists(late.pod);
  one.pods.show(late.pod, ended(late.pod));
  assert.deepEqual((await one.released(late.key)).phases, ["RUNNING", "SUCCEEDED"]);
});

test("pods of attempts that went elsewhere are swept away; other clusters' are left alone", async (t) => {
  await using one = await cluster(t);
  const held = one.lease("held");
  await one.exists(held.pod);
  const stray = (name: string, cluster: string, key: string) => ({
    metadata: {
      name,
      namespace: "ns",
      uid: name,
      labels: { "flyte.org/cluster": cluster },
      annotations: { "flyte.org/attempt-key": key },
    },
    spec: { containers: [{ name: "m" }] },
  });
  one.pods.put(stray("gone", "east", "7/gone/1"));
  one.plane.hangUp();
  await one.eventually(() => one.pods.pod("gone") === undefined);
  assert.ok(one.pods.pod(held.pod));
  one.pods.put(stray("r1-taken-7-0", "west", "7/taken/1"));
  const taken = one.lease("taken");
  assert.equal((await one.released(taken.key)).error?.code, "NameTaken");
  assert.ok(one.pods.pod("r1-taken-7-0"));
});

test("a deleted pod whose node does not answer is given up and taken out of the books", async (t) => {
  await using one = await cluster(t, { config: { graces: { nodeLostMs: 0 } } });
  const { key, pod } = one.lease("a0");
  await one.exists(pod);
  one.pods.show(pod, running(pod));
  await one.phase(key, "RUNNING");
  one.pods.show(pod, running(pod), { deletionTimestamp: now(-1000), deletionGracePeriodSeconds: 1 });
  const told = await one.released(key);
  assert.equal(told.error?.code, "Interrupted");
  assert.equal(one.pods.removals[0]?.graceSeconds, 0);
  assert.equal(one.pods.pod(pod), undefined);
});

test("max_runtime ends a pod as timed out", async (t) => {
  await using one = await cluster(t);
  const { key, pod } = one.lease("a0", { template: { metadata: { timeout: { nanos: 50_000_000 } } } });
  await one.exists(pod);
  one.pods.show(pod, running(pod));
  await one.eventually(() => one.pods.pod(pod)?.metadata.deletionTimestamp !== undefined);
  one.pods.vanish(pod);
  const told = await one.released(key);
  assert.deepEqual(told.phases, ["RUNNING", "TIMED_OUT"]);
});
