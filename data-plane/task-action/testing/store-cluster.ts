/** A namespace with the custom resource on a real API server, and stores that are running on it. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type CallSeen, type KubernetesClient, kubernetesClient, loadConnection } from "@flyte-ts/platform/kubernetes";
import { eventually, type TestCluster, type TestScope, testCluster } from "@flyte-ts/platform/kubernetes/testing.ts";
import { openFileStore } from "@flyte-ts/platform/object-store";
import { silentLog } from "../../executor/log.ts";
import {
  type KubernetesActionStore,
  type KubernetesActionStoreOptions,
  kubernetesActionStore,
  type TaskAction,
  taskActionResource,
} from "../index.ts";

const crd = fileURLToPath(new URL("../../../deploy/crd/taskactions.yaml", import.meta.url));

export type RunningStore = KubernetesActionStore & AsyncDisposable;

export async function applyCrd(cluster: Pick<TestCluster, "kubectl" | "client">): Promise<void> {
  await cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", crd);
  const actions = cluster.client.resource<TaskAction>(taskActionResource);
  await eventually(() => actions.list({ limit: 1 }).catch(() => undefined));
}

/** `{ after }` of node:test gives one to a whole file. */
export async function storeCluster(t: TestScope) {
  const cluster = await testCluster(t, { mode: "api" });
  await applyCrd(cluster);
  const { client, namespace, kubeconfig } = cluster;
  const actions = client.resource<TaskAction>(taskActionResource);
  const folder = await mkdtemp(join(tmpdir(), "flyte-ts-actions-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const objectStore = await openFileStore({ folder, root: "s3://flyte-data", sync: "none" });
  t.after(() => objectStore.close());
  // A finalizer would keep the namespace.
  t.after(() => removeAll(client, namespace));

  /** For an executor, which runs it. */
  function store(options: Partial<KubernetesActionStoreOptions> = {}): KubernetesActionStore {
    return kubernetesActionStore({
      client,
      cluster: "east",
      namespaceFor: () => namespace,
      namespaces: [namespace],
      objectStore,
      log: silentLog,
      ...options,
    });
  }

  /** One that runs. */
  function open(options: Partial<KubernetesActionStoreOptions> = {}): RunningStore {
    const opened = store(options);
    const stop = new AbortController();
    const done = opened.run(stop.signal);
    return {
      ...opened,
      async [Symbol.asyncDispose]() {
        stop.abort();
        await done;
      },
    };
  }

  /** A client that tells of its calls. */
  async function countingClient(onCall: (seen: CallSeen) => void): Promise<KubernetesClient> {
    const counting = kubernetesClient({ connection: await loadConnection({ kubeconfig }), onCall });
    t.after(async () => counting.close());
    return counting;
  }

  return {
    ...cluster,
    actions,
    objectStore,
    store,
    open,
    countingClient,
    async stored(): Promise<TaskAction[]> {
      return (await actions.list({ namespace })).items;
    },
    async only(): Promise<TaskAction> {
      const [first, second] = (await actions.list({ namespace })).items;
      if (!first || second) throw new Error(`not one object: ${second ? "several" : "none"}`);
      return first;
    },
  };
}

export async function removeAll(client: KubernetesClient, namespace: string): Promise<void> {
  const actions = client.resource<TaskAction>(taskActionResource);
  const { items } = await actions.list({ namespace });
  for (const { metadata } of items) {
    await actions.patch(metadata.name, { metadata: { finalizers: null } }, { namespace }).catch(() => {});
    await actions.delete(metadata.name, { namespace }).catch(() => {});
  }
}
