/**
 * An executor with the plugin of jobs on a namespace of its own in a real cluster, for tests that play the operator: they
 * write the status, and make the pods, that the operator would.
 */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { ErrorDocumentSchema } from "@flyte-ts/contract/flyteidl2/core/execution_pb.ts";
import { OutputsSchema } from "@flyte-ts/contract/flyteidl2/task/common_pb.ts";
import type { LeasedAction } from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";
import { isKubernetesError, type KubernetesClient } from "@flyte-ts/platform/kubernetes";
import { eventually, needsCluster, testCluster } from "@flyte-ts/platform/kubernetes/testing.ts";
import { openFileStore } from "@flyte-ts/platform/object-store";
import { executor, memoryActionStore } from "../../../executor/index.ts";
import { silentLog } from "../../../executor/log.ts";
import { keyOf, type LeaseParts, leaseOf } from "../../../executor/testing/leases.ts";
import { scriptedControlPlane, type Told } from "../../../executor/testing/scripted-control-plane.ts";
import { kubernetesPods, podConfig } from "../../pod/index.ts";
import type { Pod, PodStatus } from "../../pod/objects.ts";
import type { PodLogs } from "../../pod/pods.ts";
import { type JobKind, type JobObject, jobConfig, jobPlugin, kubernetesJobs } from "../index.ts";
import { JOB } from "../names.ts";
import { installSchema, missingSchema } from "./operator-crds.ts";

/** For node:test's options. */
export async function needsOperator(...kinds: readonly JobKind[]): Promise<{ skip: string | false }> {
  const { skip } = needsCluster("api");
  if (skip !== false || process.env.CI) return { skip };
  for (const kind of kinds) {
    const missing = await missingSchema(kind.resource.plural);
    if (missing) return { skip: missing };
  }
  return { skip: false };
}

export interface OperatorClusterOptions {
  kinds: readonly JobKind[];
  /** Kinds whose schemas are not installed. */
  without?: readonly JobKind[];
  jobConfig?: object;
  podConfig?: object;
  logs?: PodLogs;
  lookMs?: number;
  /** In place of the administrator. */
  client?(cluster: Awaited<ReturnType<typeof testCluster>>): Promise<KubernetesClient>;
}

const base = "s3://flyte-data/p/development/r1";

export async function operatorCluster(t: TestContext, options: OperatorClusterOptions) {
  const cluster = await testCluster(t, { mode: "api" });
  const { namespace } = cluster;
  for (const kind of options.kinds) {
    if (!options.without?.includes(kind)) await installSchema(cluster, kind);
  }
  const folder = await mkdtemp(join(tmpdir(), "flyte-ts-jobs-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const objectStore = await openFileStore({ folder, root: "s3://flyte-data", sync: "none" });
  t.after(() => objectStore.close());
  const plane = scriptedControlPlane();
  const store = memoryActionStore();
  const client = (await options.client?.(cluster)) ?? cluster.client;
  const admin = cluster.client;
  const podsOf = admin.resource<Pod>({ group: "", version: "v1", plural: "pods", namespaced: true });

  function start(): () => Promise<void> {
    const stop = new AbortController();
    const of = { client, cluster: "east", namespaces: [namespace], log: silentLog };
    const { lookMs = 60_000 } = options;
    const plugin = jobPlugin({
      cluster: "east",
      kinds: options.kinds,
      jobs: kubernetesJobs({ ...of, lookMs, kinds: options.kinds, pods: kubernetesPods(of) }),
      jobConfig: jobConfig.parse(options.jobConfig ?? {}),
      objectStore,
      secrets: { read: async (_scope, refs) => refs.map(({ key }) => Buffer.from(`the ${key}`)) },
      config: podConfig.parse({
        terminationGraceSeconds: 0,
        graces: { imagePullMs: 0, quotaRetryMs: 50, nodeLostMs: 0 },
        ...options.podConfig,
      }),
      log: silentLog,
      namespace: () => namespace,
      podTemplate: async () => undefined,
      taskEnvironment: () => ({ _U_EP_OVERRIDE: "api:80" }),
      ...(options.logs ? { logs: options.logs } : {}),
    });
    const link = plane.link;
    const done = executor({ cluster: "east", link, store, plugins: [plugin], log: silentLog, slots: 50 }).run(
      stop.signal,
    );
    return async () => {
      stop.abort();
      await done;
    };
  }
  let end = start();
  t.after(() => end());

  const resourceOf = ({ resource }: JobKind) => admin.resource<JobObject>({ ...resource, namespaced: true });
  const told = (lease: LeasedAction): Told => plane.told(keyOf(lease));
  const nameOf = (lease: LeasedAction) => `r1-${lease.ref?.name}-7-${lease.attempt - 1}`;

  const one = {
    ...cluster,
    plane,
    store,
    objectStore,
    told,
    nameOf,
    /** Another executor process in the place of this one. */
    async restart() {
      await end();
      end = start();
    },
    lease(name: string, kind: JobKind, parts: LeaseParts = {}): LeasedAction {
      const [taskType = ""] = kind.taskTypes;
      const lease = leaseOf({ name, taskType, ...parts });
      plane.lease(lease);
      return lease;
    },
    /** Waits until the attempt's job is there, or the attempt failed before. */
    async job(kind: JobKind, lease: LeasedAction): Promise<JobObject> {
      return eventually(async () => {
        assert.equal(told(lease).error?.message, undefined);
        return resourceOf(kind).get(nameOf(lease), { namespace }).catch(unlessThere);
      });
    },
    /** As the operator writes it. */
    async says(kind: JobKind, lease: LeasedAction, status: object): Promise<void> {
      const job = await one.job(kind, lease);
      await resourceOf(kind).patchStatus(job.metadata.name, { status } as object, { namespace });
    },
    async isGone(kind: JobKind, lease: LeasedAction): Promise<void> {
      await eventually(
        async () => (await resourceOf(kind).get(nameOf(lease), { namespace }).catch(unlessThere)) === undefined,
      );
    },
    async remove(kind: JobKind, lease: LeasedAction): Promise<void> {
      await resourceOf(kind).delete(nameOf(lease), { namespace });
    },
    /** A pod as the operator makes it of a template of the job: nobody runs it. */
    async pod(
      name: string,
      template: Pick<Pod, "metadata" | "spec">,
      more: { labels?: Record<string, string>; status?: PodStatus } = {},
    ) {
      const { labels, annotations } = template.metadata;
      const { serviceAccountName: _account, restartPolicy = "Never", ...spec } = template.spec;
      await podsOf.create({
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name, namespace, labels: { ...labels, ...more.labels }, ...(annotations ? { annotations } : {}) },
        spec: { ...spec, restartPolicy, schedulerName: "nobody" },
      });
      if (more.status) await one.podSays(name, more.status);
    },
    async podSays(name: string, status: PodStatus): Promise<void> {
      await podsOf.patchStatus(name, { status } as object, { namespace });
    },
    async podNames(lease: LeasedAction): Promise<string[]> {
      const page = await podsOf.list({ namespace, labelSelector: `${JOB}=${nameOf(lease)}` });
      return page.items.map(({ metadata }) => metadata.name);
    },
    async outputs(lease: LeasedAction): Promise<void> {
      const uri = `${base}/${lease.ref?.name}/${lease.attempt}/outputs.pb`;
      await objectStore.put(uri, toBinary(OutputsSchema, create(OutputsSchema)));
    },
    async error(lease: LeasedAction, error: object): Promise<void> {
      const uri = `${base}/${lease.ref?.name}/${lease.attempt}/error.pb`;
      await objectStore.put(uri, toBinary(ErrorDocumentSchema, create(ErrorDocumentSchema, { error })));
    },
    phase: (lease: LeasedAction, phase: string) => plane.until(() => told(lease).phases.includes(phase)),
    async released(lease: LeasedAction): Promise<Told> {
      await plane.until(() => told(lease).released);
      return told(lease);
    },
  };
  return one;
}

function unlessThere(error: unknown): undefined {
  if (isKubernetesError(error, "NotFound")) return undefined;
  throw error;
}
