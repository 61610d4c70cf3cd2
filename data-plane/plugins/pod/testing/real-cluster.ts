/** An executor with the pod plugin on a namespace of its own in a real cluster, for tests. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { create } from "@bufbuild/protobuf";
import { ContainerSchema } from "@flyte-ts/contract/flyteidl2/core/tasks_pb.ts";
import type { LeasedAction } from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";
import { type TestCluster, testCluster } from "@flyte-ts/platform/kubernetes/testing.ts";
import { type FileStore, openFileStore } from "@flyte-ts/platform/object-store";
import { executor, memoryActionStore } from "../../../executor/index.ts";
import { silentLog } from "../../../executor/log.ts";
import { keyOf, type LeaseParts, leaseOf } from "../../../executor/testing/leases.ts";
import { scriptedControlPlane, type Told } from "../../../executor/testing/scripted-control-plane.ts";
import { kubernetesPods, type PodOptions, podConfig, podPlugin } from "../index.ts";

/** In every node of the test cluster. */
export const IMAGE = "localhost/busybox:1";

export interface RealClusterOptions {
  config?: object;
  /** What else the plugin is made of, once the cluster and the store are there. */
  parts?(place: { cluster: TestCluster; objectStore: FileStore }): Partial<PodOptions> | Promise<Partial<PodOptions>>;
}

export async function realCluster(t: TestContext, { config = {}, parts }: RealClusterOptions = {}) {
  const cluster = await testCluster(t, { mode: "node" });
  const { client, namespace } = cluster;
  const folder = await mkdtemp(join(tmpdir(), "flyte-ts-pod-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const objectStore = await openFileStore({ folder, root: "s3://flyte-data", sync: "none" });
  t.after(() => objectStore.close());
  const plane = scriptedControlPlane();
  const stop = new AbortController();
  const plugin = podPlugin({
    cluster: "east",
    pods: kubernetesPods({ client, cluster: "east", namespaces: [namespace], log: silentLog }),
    objectStore,
    secrets: { read: async (_scope, refs) => refs.map(({ key }) => Buffer.from(`the ${key}`)) },
    config: podConfig.parse({
      requests: { cpu: "10m", memory: "16Mi" },
      terminationGraceSeconds: 1,
      graces: { imagePullMs: 0, createContainerMs: 0, quotaRetryMs: 200 },
      ...config,
    }),
    log: silentLog,
    namespace: () => namespace,
    podTemplate: async () => undefined,
    taskEnvironment: () => ({}),
    ...(await parts?.({ cluster, objectStore })),
  });
  const done = executor({
    cluster: "east",
    link: plane.link,
    store: memoryActionStore(),
    plugins: [plugin],
    log: silentLog,
    slots: 20,
  }).run(stop.signal);
  t.after(async () => {
    stop.abort();
    await done;
  });

  function run(name: string, template: NonNullable<LeaseParts["template"]>): LeasedAction {
    const lease = leaseOf({ name, taskType: "python", template });
    plane.lease(lease);
    return lease;
  }

  return {
    ...cluster,
    objectStore,
    plane,
    run,
    shell(name: string, script: string, template: LeaseParts["template"] = {}, container: object = {}): LeasedAction {
      const value = create(ContainerSchema, { image: IMAGE, command: ["/bin/sh", "-c", script], ...container });
      return run(name, { target: { case: "container", value }, ...template });
    },
    phase: (lease: LeasedAction, phase: string) => plane.until(() => plane.told(keyOf(lease)).phases.includes(phase)),
    async released(lease: LeasedAction): Promise<Told> {
      await plane.until(() => plane.told(keyOf(lease)).released);
      return plane.told(keyOf(lease));
    },
  };
}
