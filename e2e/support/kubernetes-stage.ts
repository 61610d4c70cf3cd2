/**
 * What tests on Kubernetes share: a server whose actions go to a test cluster, where they run as real pods of the image
 * that the SDK names.
 */
import { type ClusterMode, type TestCluster, testCluster } from "@flyte-ts/platform/kubernetes/testing.ts";
import { type ExecutorOptions, listenFor, startExecutor, type TestExecutor } from "./executor.ts";
import { runProgram, type Scope, type ServerOptions } from "./server.ts";
import { type Stage, setStage } from "./stage.ts";
import { taskImage } from "./task-image.ts";
import { waitFor } from "./wait.ts";

type Kind = "pods" | "secrets" | "taskactions";

export interface KubernetesStage extends Stage {
  cluster: TestCluster;
  executor: TestExecutor;
  /** `flyte-ts cluster <args>` against the server; what it prints. */
  clusterCommand(...args: string[]): Promise<string>;
  /** Names of the objects of this kind in the test's namespace, as far as their labels are such. */
  names(kind: Kind, labels?: string): Promise<string[]>;
  /** How many there are; cheap also when they are many. */
  count(kind: Kind): Promise<number>;
}

export interface KubernetesStageOptions {
  mode?: ClusterMode;
  /** In place of the shared one of this mode. */
  cluster?: TestCluster;
  server?: ServerOptions;
  executor?: Partial<ExecutorOptions>;
}

export async function setKubernetesStage(t: Scope, options: KubernetesStageOptions = {}): Promise<KubernetesStage> {
  const { mode = "node" } = options;
  const cluster = options.cluster ?? (await testCluster(t, { mode }));
  // Only pods that are processes need the server and an image.
  if (mode === "node") await cluster.importImage(await taskImage());
  const { args = [], ...server } = options.server ?? {};
  const stage = await setStage(t, { ...server, args: [...(mode === "node" ? listenFor(cluster) : []), ...args] });
  const clusterCommand = async (...words: string[]) => {
    const { code, stdout, stderr } = await runProgram(t, ["cluster", ...words, "--endpoint", stage.server.url]);
    if (code !== 0) throw new Error(`flyte-ts cluster ${words.join(" ")} ended with ${code}: ${stderr}`);
    return stdout;
  };
  // It registers a moment after the server can serve.
  await waitFor(() => clusterCommand("drain", "embedded"), { what: "the embedded cluster, to be drained" });
  const executor = await startExecutor(t, {
    cluster,
    name: "kube",
    controlPlane: stage.server.url,
    ...options.executor,
  });
  const { client, namespace } = cluster;
  const of = (plural: Kind) =>
    client.resource({ group: plural === "taskactions" ? "flyte.org" : "", version: "v1", plural, namespaced: true });
  return {
    ...stage,
    cluster,
    executor,
    clusterCommand,
    async names(kind, labelSelector = "") {
      const { items } = await of(kind).list({ namespace, labelSelector });
      return items.map(({ metadata }) => metadata.name);
    },
    async count(kind) {
      const { items, metadata } = await of(kind).list({ namespace, limit: 1 });
      return items.length + (metadata.remainingItemCount ?? 0);
    },
  };
}
