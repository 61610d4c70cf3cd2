/**
 * A real Kubernetes for tests, with a namespace of its own for each.
 *
 * ```ts
 * test("a pod runs", needsCluster("node"), async (t) => {
 *   const { client, namespace } = await testCluster(t, { mode: "node" });
 * });
 * ```
 *
 * All test processes of this user share one cluster of a kind (`scripts/kube`): it starts on demand and ends by itself
 * when idle. KUBECONFIG names another cluster to use instead. Where neither that, nor the programs, nor what builds them
 * is at hand, such tests are skipped and say so; under CI they fail. The namespace is deleted after the test.
 */
import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";
import { type KubernetesClient, kubernetesClient } from "./client.ts";
import { loadConnection } from "./kubeconfig.ts";
import { type ClusterPrograms, clusterPrograms } from "./testing/cluster-programs.ts";
import { kubeCache, missingPrerequisite } from "./testing/prerequisites.ts";
import { ownCluster, sharedCluster, stopTestCluster } from "./testing/shared-cluster.ts";

export { type Relay, relayTo } from "./testing/relay.ts";
export { stopTestCluster };

/**
 * `api`: API server and etcd alone. `control-plane`: also the controllers and the scheduler. `node`: also a kubelet,
 * so that pods are real processes. `kwok`: also a player of nodes and pods, for tests of scale.
 */
export type ClusterMode = "api" | "control-plane" | "node" | "kwok";

export interface TestCluster {
  readonly kubeconfig: string;
  readonly client: KubernetesClient;
  /** Of this test alone. */
  readonly namespace: string;
  /** What kubectl prints. */
  kubectl(...args: string[]): Promise<string>;
  /** Makes an image of an archive known to the node (mode `node`). A cluster that KUBECONFIG names must know it already. */
  importImage(image: { ref: string; archive: string }): Promise<void>;
  /** This machine as pods reach it. */
  readonly gateway: string;
}

export interface OwnTestCluster extends TestCluster {
  /** To kill, stop and start again. */
  readonly programs: ClusterPrograms;
  /** All that the API server knows is in it. */
  readonly etcdDir: string;
}

export interface TestScope {
  after(hook: () => Promise<void>): void;
}

/** For node:test's options: a skip that says what is missing; under CI the test runs, and fails. */
export function needsCluster(mode: ClusterMode): { skip: string | false } {
  return { skip: (!process.env.CI && missingPrerequisite(mode)) || false };
}

/** `{ after }` from node:test gives one namespace to a whole file. */
export async function testCluster(t: TestScope, { mode }: { mode: ClusterMode }): Promise<TestCluster> {
  const given = process.env.KUBECONFIG?.split(delimiter).filter(Boolean)[0];
  if (given) return using(t, { kubeconfig: given, controllers: mode !== "api", command: ["kubectl"] });
  demand(mode);
  const { kubeconfig, mode: kind, run } = await sharedCluster(mode);
  return using(t, { kubeconfig, controllers: kind !== "api", command: ownKubectl(), run });
}

/** A cluster of this test's own, to be broken; `env` as in scripts/kube/up.sh. Gone after the test. */
export async function brokenTestCluster(
  t: TestScope,
  { mode, env = {} }: { mode: ClusterMode; env?: Record<string, string> },
): Promise<OwnTestCluster> {
  demand(mode);
  const { state, stop } = await ownCluster(mode, env);
  try {
    const { kubeconfig, run } = state;
    const cluster = await using(
      { after() {} },
      { kubeconfig, controllers: mode !== "api", command: ownKubectl(), run },
    );
    t.after(async () => {
      cluster.client.close();
      await stop();
    });
    return { ...cluster, programs: clusterPrograms(state.run), etcdDir: join(state.run, "etcd") };
  } catch (error) {
    await stop();
    throw error;
  }
}

function demand(mode: ClusterMode): void {
  const missing = missingPrerequisite(mode);
  if (missing) throw new Error(missing);
}

function ownKubectl(): string[] {
  return [join(kubeCache(), "bin/kube"), "kubectl"];
}

interface Running {
  kubeconfig: string;
  /** There are controllers, which make accounts. */
  controllers: boolean;
  command: string[];
  /** KUBE_RUN of scripts/kube. */
  run?: string;
}

async function using(t: TestScope, { kubeconfig, controllers, command, run }: Running): Promise<TestCluster> {
  const client = kubernetesClient({ connection: await loadConnection({ kubeconfig }) });
  const namespaces = client.resource({ group: "", version: "v1", plural: "namespaces", namespaced: false });
  const namespace = `flyte-ts-test-${randomBytes(5).toString("hex")}`;
  await namespaces.create({ apiVersion: "v1", kind: "Namespace", metadata: { name: namespace } });
  t.after(async () => {
    // Its end takes seconds and nobody waits for it; a test may have taken the cluster away.
    await namespaces.delete(namespace).catch(() => {});
    client.close();
  });
  if (controllers) await defaultAccount(client, namespace);
  return {
    kubeconfig,
    client,
    namespace,
    gateway: process.env.KUBE_GATEWAY ?? "10.251.0.1",
    async importImage({ ref, archive }) {
      if (run) await importInto(run, ref, archive);
    },
    async kubectl(...args) {
      const [program = "kubectl", ...words] = [
        ...command,
        "--kubeconfig",
        kubeconfig,
        "--namespace",
        namespace,
        ...args,
      ];
      return (await promisify(execFile)(program, words, { maxBuffer: 64 << 20 })).stdout;
    },
  };
}

/** An image of this name may be there from other sources: the digest tells. */
async function importInto(run: string, ref: string, archive: string): Promise<void> {
  const execute = promisify(execFile);
  const ctr = (...args: string[]) =>
    execute("ctr", ["-a", join(run, "containerd.sock"), "-n", "k8s.io", "images", ...args]);
  const index = JSON.parse((await execute("tar", ["-xOf", archive, "./index.json"])).stdout) as {
    manifests: [{ digest: string }];
  };
  if ((await ctr("ls", `name==${ref}`)).stdout.includes(index.manifests[0].digest)) return;
  await ctr("import", archive);
}

/** Pods are refused until a controller has made their namespace's account. */
async function defaultAccount(client: KubernetesClient, namespace: string): Promise<void> {
  const accounts = client.resource({ group: "", version: "v1", plural: "serviceaccounts", namespaced: true });
  await eventually(() => accounts.get("default", { namespace }).catch(() => undefined));
}

/** Asks until there is an answer other than undefined or false. */
export async function eventually<T>(look: () => Promise<T | undefined | false> | T | undefined | false): Promise<T> {
  const deadline = performance.now() + 120_000;
  for (;;) {
    const value = await look();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > deadline) throw new Error(`still waiting for: ${look}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
