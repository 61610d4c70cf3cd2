/** What is the same for all kinds of jobs: on a real API server, with two operators' schemas, the test plays the operators. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { create, fromBinary } from "@bufbuild/protobuf";
import {
  ContainerError_Kind,
  ExecutionError_ErrorKind,
  LogContextSchema,
} from "@flyte-ts/contract/flyteidl2/core/execution_pb.ts";
import { ContainerSchema } from "@flyte-ts/contract/flyteidl2/core/tasks_pb.ts";
import { ClusterEventSchema } from "@flyte-ts/contract/flyteidl2/workflow/run_definition_pb.ts";
import type { KubeObject } from "@flyte-ts/platform/kubernetes";
import { eventually } from "@flyte-ts/platform/kubernetes/testing.ts";
import { keyOf, leaseOf } from "../../executor/testing/leases.ts";
import type { KubeEvent, Pod } from "../pod/objects.ts";
import type { PodLogs } from "../pod/pods.ts";
import { daskKind } from "./dask/plugin.ts";
import type { JobKind, JobObject } from "./index.ts";
import { pyTorchKind } from "./kubeflow/plugin.ts";
import { needsOperator, operatorCluster } from "./testing/operator-cluster.ts";

const needs = await needsOperator(daskKind, pyTorchKind);
const container = { case: "container" as const, value: create(ContainerSchema, { image: "task:1", args: ["a0"] }) };
const dask = { target: container, custom: { workers: { numberOfWorkers: 1 } } };
const torch = { target: container, custom: { workers: 2 } };
const now = () => new Date().toISOString();

const runnerOf = ({ metadata, spec }: JobObject): Pick<Pod, "metadata" | "spec"> => ({
  metadata: { ...metadata, labels: { ...metadata.labels, "dask.org/component": "job-runner" } },
  spec: (spec.job as { spec: Pod["spec"] }).spec,
});
const roleOf = ({ spec }: JobObject, role: string): Pick<Pod, "metadata" | "spec"> =>
  (spec.pytorchReplicaSpecs as Record<string, { template: Pick<Pod, "metadata" | "spec"> }>)[role]?.template as never;
const running = (name: string) => ({
  phase: "Running" as const,
  containerStatuses: [
    { name, image: "", imageID: "", ready: true, restartCount: 0, state: { running: { startedAt: now() } } },
  ],
});
const ended = (name: string, exitCode: number, more: object = {}) => ({
  phase: exitCode === 0 ? ("Succeeded" as const) : ("Failed" as const),
  containerStatuses: [
    {
      ...{ name, image: "", imageID: "", ready: false, restartCount: 0 },
      state: { terminated: { exitCode, startedAt: now(), finishedAt: now(), ...more } },
    },
  ],
});

test("an operator that is not installed: the attempt fails and names what is missing", needs, async (t) => {
  const nobody: JobKind = {
    ...daskKind,
    taskTypes: ["nobody"],
    kind: "NoJob",
    operator: "the operator of nobody",
    resource: { group: "nobody.example", version: "v1", plural: "nojobs" },
  };
  const one = await operatorCluster(t, { kinds: [nobody], without: [nobody] });
  const secret = { securityContext: { secrets: [{ key: "TOKEN", envVar: "TOKEN" }] } };
  const told = await one.released(one.lease("a0", nobody, { template: { ...dask, ...secret } }));
  assert.deepEqual(told.phases, ["FAILED"]);
  assert.deepEqual([told.error?.code, told.error?.kind], ["OperatorMissing", ExecutionError_ErrorKind.SYSTEM]);
  assert.match(
    told.error?.message ?? "",
    /CustomResourceDefinition nojobs\.nobody\.example .*install the operator of nobody/,
  );
  assert.equal(told.error?.recoverability, ContainerError_Kind.NON_RECOVERABLE);
  assert.equal(await one.kubectl("get", "secrets", "--selector=flyte.org/managed=true", "--output=name"), "");
  // Nothing was begun, so an abort is over at once.
  const lease = one.lease("b0", nobody, { template: dask });
  one.plane.abort(lease);
  await one.released(lease);
});

interface Quota extends KubeObject {
  spec: { hard: Record<string, string> };
  status?: { hard: Record<string, string>; used: Record<string, string> };
}

test("a full quota makes it wait, an object that is refused ends it", needs, async (t) => {
  const one = await operatorCluster(t, { kinds: [daskKind] });
  const { client, namespace } = one;
  const quotas = client.resource<Quota>({ group: "", version: "v1", plural: "resourcequotas", namespaced: true });
  const hard = { "count/daskjobs.kubernetes.dask.org": "1" };
  await quotas.create({
    apiVersion: "v1",
    kind: "ResourceQuota",
    metadata: { name: "few", namespace },
    spec: { hard },
  });
  // Nobody counts in a cluster without controllers; with them this is what they come to.
  const used = { "count/daskjobs.kubernetes.dask.org": "1" };
  const other = one.lease("other", daskKind, { template: dask });
  await eventually(async () => {
    if (one.told(other).phases.length === 0) await quotas.patchStatus("few", { status: { hard, used } }, { namespace });
    return one.told(other).phases.includes("WAITING_FOR_RESOURCES");
  });
  const event = await eventually(() => one.told(other).reports.flatMap(({ clusterEvents }) => clusterEvents)[0]);
  assert.match(fromBinary(ClusterEventSchema, event).message, /exceeded quota|status unknown for quota/);
  await quotas.delete("few", { namespace });
  await one.job(daskKind, other);

  const overlong = { ...dask, metadata: { metadata: { labels: {}, annotations: { big: "x".repeat(300_000) } } } };
  const refused = await one.released(one.lease("refused", daskKind, { template: overlong }));
  assert.deepEqual([refused.phases.at(-1), refused.error?.code], ["FAILED", "InvalidResource"], refused.error?.message);
  const bad = await one.released(one.lease("bad", daskKind, { template: { ...dask, custom: { workers: 1 } } }));
  assert.deepEqual([bad.phases, bad.error?.code], [["FAILED"], "BadTaskSpecification"]);
});

test("an operator that says nothing: the attempt fails, and its job goes", needs, async (t) => {
  const one = await operatorCluster(t, { kinds: [daskKind], jobConfig: { operatorMs: 0 } });
  const lease = one.lease("a0", daskKind, { template: dask });
  const told = await one.released(lease);
  assert.deepEqual([told.phases, told.error?.code], [["FAILED"], "OperatorSilent"]);
  await one.isGone(daskKind, lease);
});

test("a restart adopts the job: nothing is created twice, and its end is seen", needs, async (t) => {
  const one = await operatorCluster(t, { kinds: [daskKind] });
  const lease = one.lease("a0", daskKind, { template: dask });
  const { metadata } = await one.job(daskKind, lease);
  await one.says(daskKind, lease, { jobStatus: "Running", startTime: now() });
  await one.phase(lease, "RUNNING");
  await one.restart();
  assert.equal((await one.job(daskKind, lease)).metadata.uid, metadata.uid);
  await one.pod(`${metadata.name}-runner`, runnerOf(await one.job(daskKind, lease)), {
    status: ended("job-runner", 0),
  });
  await one.says(daskKind, lease, { jobStatus: "Successful", endTime: now() });
  assert.deepEqual((await one.released(lease)).phases, ["RUNNING", "SUCCEEDED"]);
});

test(
  "pods tell what the operator does not: images that cannot be had, memory, events of job and pod",
  needs,
  async (t) => {
    const one = await operatorCluster(t, { kinds: [pyTorchKind] });
    const first = { "training.kubeflow.org/replica-index": "0" };
    const image = one.lease("image", pyTorchKind, { template: torch });
    const memory = one.lease("memory", pyTorchKind, { template: torch });

    const waiting = {
      name: "pytorch",
      image: "",
      imageID: "",
      ready: false,
      restartCount: 0,
      state: { waiting: { reason: "ErrImagePull", message: "no" } },
    };
    const job = await one.job(pyTorchKind, image);
    await one.says(pyTorchKind, image, { conditions: [{ type: "Created", status: "True" }] });
    await one.pod(`${job.metadata.name}-master-0`, roleOf(job, "Master"), {
      labels: first,
      status: { phase: "Pending", containerStatuses: [waiting] },
    });
    const told = await one.released(image);
    assert.deepEqual([told.phases.at(-1), told.error?.code], ["FAILED", "ErrImagePull"]);
    assert.match(told.error?.message ?? "", /in the pod r1-image-7-0-master-0: the container "pytorch"/);
    assert.deepEqual(await one.podNames(image), []);

    const other = await one.job(pyTorchKind, memory);
    const { namespace = "", name, uid = "" } = other.metadata;
    const events = one.client.resource<KubeEvent>({ group: "", version: "v1", plural: "events", namespaced: true });
    await events.create({
      metadata: { name: "e1", namespace },
      involvedObject: { kind: "PyTorchJob", namespace, name, uid },
      ...{ type: "Warning", reason: "PyTorchJobRestarting", message: "again", count: 2, lastTimestamp: now() },
    });
    await one.says(pyTorchKind, memory, { conditions: [{ type: "Running", status: "True" }] });
    await one.pod(`${name}-master-0`, roleOf(other, "Master"), { labels: first, status: running("pytorch") });
    await one.pod(`${name}-worker-0`, roleOf(other, "Worker"), {
      labels: first,
      status: ended("pytorch", 137, { reason: "OOMKilled" }),
    });
    await one.phase(memory, "RUNNING");
    const context = () => {
      const bytes = one.told(memory).reports.findLast(({ logContext }) => logContext.length > 0)?.logContext;
      return bytes && fromBinary(LogContextSchema, bytes);
    };
    await eventually(() => context()?.pods.length === 2);
    assert.deepEqual(
      [context()?.primaryPodName, context()?.pods[0]?.podName],
      [`${name}-master-0`, `${name}-master-0`],
    );
    const said = () =>
      one
        .told(memory)
        .reports.flatMap(({ clusterEvents }) => clusterEvents.map((bytes) => fromBinary(ClusterEventSchema, bytes)));
    await eventually(() => said().some(({ reason, count }) => reason === "PyTorchJobRestarting" && count === 2));
    await one.says(pyTorchKind, memory, {
      conditions: [{ type: "Failed", status: "True", reason: "PyTorchJobFailed" }],
    });
    const end = await one.released(memory);
    assert.equal(end.error?.code, "OOMKilled");
    assert.match(end.error?.message ?? "", /in the pod r1-memory-7-0-worker-0/);
  },
);

test("the primary pod's log is followed and stored once; Secrets go with the job", needs, async (t) => {
  const heard: string[] = [];
  const logs: PodLogs = {
    follow: async (_uri, pod) => void (heard.includes(pod.metadata.name) || heard.push(pod.metadata.name)),
    finish: async (uri, { name }) => void heard.push(`finish ${name} ${uri}`),
  };
  const one = await operatorCluster(t, { kinds: [daskKind], logs });
  const template = { ...dask, securityContext: { secrets: [{ key: "TOKEN", envVar: "TOKEN" }] } };
  const lease = one.lease("a0", daskKind, { template });
  const job = await one.job(daskKind, lease);
  const runner = `${job.metadata.name}-runner`;
  const secrets = async () =>
    (await one.kubectl("get", "secrets", "--selector=flyte.org/managed=true", "--output=name")).trim();
  assert.equal(await secrets(), "secret/r1-a0-7-0");
  await one.says(daskKind, lease, { jobStatus: "Running" });
  await one.pod(runner, runnerOf(job), { status: running("job-runner") });
  await eventually(() => heard.includes(runner));
  await one.podSays(runner, ended("job-runner", 0));
  await one.says(daskKind, lease, { jobStatus: "Successful" });
  const told = await one.released(lease);
  assert.equal(told.phases.at(-1), "SUCCEEDED");
  assert.equal(
    told.reports.some(({ logsAvailable }) => logsAvailable),
    true,
  );
  assert.deepEqual(heard, [runner, `finish ${runner} s3://flyte-data/p/development/r1/a0/1`]);
  await eventually(async () => (await secrets()) === "");
});

test("jobs of attempts that went elsewhere are swept away, those of others are left alone", needs, async (t) => {
  const one = await operatorCluster(t, { kinds: [daskKind] });
  const lease = one.lease("gone", daskKind, { template: dask });
  const job = await one.job(daskKind, lease);
  const {
    uid: _uid,
    resourceVersion: _version,
    creationTimestamp: _at,
    generation: _generation,
    ...metadata
  } = job.metadata;
  const resource = one.client.resource<JobObject>({ ...daskKind.resource, namespaced: true });
  const other = { ...metadata.labels, "flyte.org/cluster": "west" };
  await resource.create({ ...job, metadata: { ...metadata, name: "others", labels: other } });
  one.plane.withdraw(keyOf(lease));
  await one.store.delete(keyOf(lease));
  await one.restart();
  await one.isGone(daskKind, lease);
  assert.equal((await resource.get("others", { namespace: one.namespace })).metadata.name, "others");
});

test("a name that something else has taken is no attempt's job", needs, async (t) => {
  const one = await operatorCluster(t, { kinds: [daskKind] });
  const first = one.lease("a0", daskKind, { template: dask });
  const { spec } = await one.job(daskKind, first);
  const resource = one.client.resource<JobObject>({ ...daskKind.resource, namespaced: true });
  const name = one.nameOf(leaseOf({ name: "b0" }));
  const metadata = { name, namespace: one.namespace };
  await resource.create({ apiVersion: "kubernetes.dask.org/v1", kind: "DaskJob", metadata, spec });
  const lease = one.lease("b0", daskKind, { template: dask });
  assert.equal((await one.released(lease)).error?.code, "NameTaken");
  assert.equal((await resource.get(name, { namespace: one.namespace })).metadata.name, name);
});
