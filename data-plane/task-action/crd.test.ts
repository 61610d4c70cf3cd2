/** The schema that a cluster holds against the types that we write: nothing is lost, and what is wrong is refused. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { isKubernetesError, type KubernetesError } from "@flyte-ts/platform/kubernetes";
import { eventually, needsCluster, testCluster } from "@flyte-ts/platform/kubernetes/testing.ts";
import {
  maxInlineTemplateBytes,
  type TaskAction,
  type TaskActionSpec,
  type TaskActionStatus,
  taskActionApiVersion,
  taskActionKind,
  taskActionResource,
} from "./task-action.ts";

const crd = fileURLToPath(new URL("../../deploy/crd/taskactions.yaml", import.meta.url));
const at = "2026-01-02T03:04:05Z";
/** With the letters that tell the kinds of base64 apart. */
const bytes = (text: string) => Buffer.concat([Buffer.from(text), Buffer.from([0xff, 0xfb])]).toString("base64");

type Every<T> = { [K in keyof T]-?: NonNullable<T[K]> };

/** Every field that there is. */
const spec: Every<TaskActionSpec> = {
  runName: "r1234567890",
  project: "flytesnacks",
  domain: "development",
  actionName: "a0",
  parentActionName: "a",
  actionType: "condition",
  conditionSpec: bytes("condition"),
  inputUri: "s3://b/in/inputs.pb",
  runOutputBase: "s3://b/out",
  cacheKey: "key",
  taskType: "python-task",
  shortName: "hello",
  taskTemplate: bytes("template"),
  envVars: { A: "1" },
  interruptible: true,
  group: "g",
  cluster: "gpu",
  runKey: 7,
  leaseEpoch: 3,
  attempt: 1,
  taskTemplateRef: { uri: "s3://b/template", size: 70_000, sha256: "0".repeat(64) },
  rawDataPrefix: "s3://b/raw",
  serviceAccount: "sa",
  runLabels: { team: "x" },
  runAnnotations: { note: "y" },
  runStartTime: at,
  enqueuedAt: at,
  startedAt: at,
  leaseRest: bytes("rest"),
};
const error = { code: "OOMKilled", kind: "user", message: "too much", recoverable: true, uri: "s3://b/error.pb" };
const status: Every<TaskActionStatus> = {
  stateJson: "{}",
  pluginState: bytes("{}"),
  pluginStateVersion: 1,
  pluginPhase: "Running",
  pluginPhaseVersion: 2,
  attempts: 1,
  systemFailures: 0,
  cacheStatus: 1,
  conditions: [
    {
      type: "Progressing",
      status: "True",
      reason: "Executing",
      message: "m",
      observedGeneration: 1,
      lastTransitionTime: at,
    },
  ],
  phaseHistory: [{ phase: "succeeded", occurredAt: at, outputUri: "s3://b/out/outputs.pb" }],
  errorState: error,
  signalValue: bytes("value"),
  signalledBy: "me",
  signalledAt: at,
  phase: "running",
  ending: { phase: "failed", reason: "why", error },
  released: false,
  details: bytes("details"),
};

/** The smallest task. */
const task = {
  runName: "run",
  project: "p",
  domain: "d",
  actionName: "a0",
  taskType: "python-task",
  taskTemplate: bytes("template"),
  runOutputBase: "s3://b",
  cluster: "c",
  runKey: 1,
  leaseEpoch: 1,
  attempt: 1,
} satisfies TaskActionSpec;

async function clusterWithCrd(t: TestContext) {
  const cluster = await testCluster(t, { mode: "api" });
  await cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", crd);
  const actions = cluster.client.resource<TaskAction>(taskActionResource);
  await eventually(() => actions.list({ limit: 1 }).catch(() => undefined));
  const { namespace } = cluster;
  const object = (name: string, spec: TaskActionSpec): TaskAction => ({
    apiVersion: taskActionApiVersion,
    kind: taskActionKind,
    metadata: { name, namespace },
    spec,
  });
  return { ...cluster, actions, object };
}

test(
  "every field of spec and status is kept, and each is written through its own door",
  needsCluster("api"),
  async (t) => {
    const { actions, object, namespace } = await clusterWithCrd(t);
    const made = await actions.create({ ...object("all", spec), status });
    assert.deepEqual(made.spec, spec);
    assert.equal(made.status, undefined);
    const withStatus = await actions.replace(
      { ...made, spec: { ...spec, leaseEpoch: 9 }, status },
      { subresource: "status" },
    );
    assert.deepEqual(withStatus.status, status);
    assert.equal(withStatus.spec.leaseEpoch, 3);
    const patched = await actions.patchStatus("all", { status: { phase: "succeeded" } }, { namespace });
    assert.deepEqual(patched.status, { ...status, phase: "succeeded" });
    const applied = await actions.apply(
      { ...object("all", spec), status: { released: true } },
      { fieldManager: "test", force: true, subresource: "status" },
    );
    assert.equal(applied.status?.released, true);
    assert.equal(applied.status?.phase, "succeeded");
  },
);

test("what is wrong is refused, with the field", needsCluster("api"), async (t) => {
  const { actions, object } = await clusterWithCrd(t);
  const made = await actions.create(object("good", task));
  const refused = async (why: RegExp, wrong: object, call = (object: TaskAction) => actions.create(object)) => {
    const thrown = await call({ ...object("wrong", task), ...wrong }).then(
      () => assert.fail(`accepted: ${JSON.stringify(wrong)}`),
      (thrown: KubernetesError) => thrown,
    );
    assert.ok(isKubernetesError(thrown, "Invalid", "BadRequest"), String(thrown));
    assert.match(thrown.message, why);
  };
  const { taskTemplate, taskType, ...bare } = task;
  const { runName: _, ...nameless } = task;
  await refused(/spec: Required/, { spec: undefined });
  await refused(/spec\.runName: Required/, { spec: nameless });
  await refused(/spec\.runName/, { spec: { ...task, runName: "x".repeat(31) } });
  await refused(/spec\.attempt/, { spec: { ...task, attempt: 0 } });
  await refused(/spec\.leaseEpoch/, { spec: { ...task, leaseEpoch: "1" } });
  await refused(/spec\.actionType/, { spec: { ...task, actionType: "odd" } });
  await refused(/needs its taskType/, { spec: { ...bare, taskTemplate } });
  await refused(/either taskTemplate or/, { spec: { ...bare, taskType } });
  await refused(/either taskTemplate or/, { spec: { ...task, taskTemplateRef: spec.taskTemplateRef } });
  await refused(/unknown field "spec\.colour"/, { spec: { ...task, colour: "red" } });
  const inline = (size: number) => ({ spec: { ...task, taskTemplate: Buffer.alloc(size).toString("base64") } });
  await refused(/spec\.taskTemplate/, inline(maxInlineTemplateBytes + 4));
  await actions.create({ ...object("largest", task), ...inline(maxInlineTemplateBytes) });
  await refused(/names another attempt/, { ...made, spec: { ...task, runName: "other" } }, (object) =>
    actions.replace(object),
  );
  for (const other of [{ cluster: "other" }, { runKey: 8 }]) {
    await refused(/names another attempt/, { ...made, spec: { ...task, ...other } }, (object) =>
      actions.replace(object),
    );
  }
  await actions.replace({ ...made, spec: { ...task, leaseEpoch: 2 } });
});

test("kubectl get taskactions shows run, action, type, phase and age", needsCluster("api"), async (t) => {
  const { actions, object, namespace, kubectl } = await clusterWithCrd(t);
  await actions.create(object("shown", task));
  await actions.patchStatus("shown", { status: { phase: "running" } }, { namespace });
  const [head = "", row = ""] = (await kubectl("get", "taskactions")).split("\n");
  assert.deepEqual(head.split(/\s+/).filter(Boolean), ["NAME", "RUN", "ACTION", "TYPE", "PHASE", "AGE"]);
  assert.match(row, /^shown\s+run\s+a0\s+python-task\s+running\s+\d+s/);
});
