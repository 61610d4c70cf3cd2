/**
 * What a scenario on Kubernetes stands on: a namespace of the test cluster, a server with an embedded PostgreSQL, and a
 * `flyte-ts executor` that gets all of its actions.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { create } from "@bufbuild/protobuf";
import {
  ClusterAdminService,
  ClusterState,
  DrainClusterRequestSchema,
  GetClusterRequestSchema,
} from "@flyte-ts/contract/flytets/cluster/v1/cluster_admin_pb.ts";
import {
  brokenTestCluster,
  type ClusterMode,
  eventually,
  stopTestCluster,
  type TestCluster,
  type TestScope,
  testCluster,
} from "@flyte-ts/platform/kubernetes/testing.ts";
import { startProgram } from "../program.ts";
import { databaseOf, startServer } from "../server.ts";
import { connectWire, samplesOf, type Wire } from "../wire.ts";

const crd = fileURLToPath(new URL("../../deploy/crd/taskactions.yaml", import.meta.url));

export interface KubeStage {
  cluster: TestCluster;
  wire: Wire;
  /** Of the executor. */
  executor: Pick<Wire, "metrics">;
  /** Of the API server: there is no word of etcd. */
  apiServer: Pick<Wire, "metrics">;
  settings: Record<string, string>;
}

export interface KubeStageOptions {
  mode: ClusterMode;
  slots: number;
  /** Folder for a profile of the executor. */
  cpuProf?: string | undefined;
}

/** Ends everything in reverse, also when `use` throws. */
export async function onKubeStage<T>(options: KubeStageOptions, use: (stage: KubeStage) => Promise<T>): Promise<T> {
  const hooks: (() => Promise<void>)[] = [stopTestCluster];
  const after = (hook: () => Promise<void>) => void hooks.push(hook);
  try {
    return await use(await open(options, after));
  } finally {
    for (const hook of hooks.reverse()) await hook();
  }
}

async function open(options: KubeStageOptions, after: (hook: () => Promise<void>) => void): Promise<KubeStage> {
  const { mode, slots } = options;
  const cluster = await clusterOf(mode, { after });
  await cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", crd);
  await eventually(async () => (await cluster.kubectl("get", "taskactions").catch(() => undefined)) !== undefined);

  const server = await startServer();
  after(server.stop);
  const wire = connectWire(server.url);
  after(async () => wire.close());
  // It registers a moment after the server can serve.
  await eventually(async () => (await drainEmbedded(wire).catch(() => undefined)) !== undefined);

  const executor = await startExecutor(options, cluster, server.url, after);
  await eventually(async () => (await isLive(wire).catch(() => false)) || undefined);
  const { gitVersion } = await cluster.client.request<{ gitVersion: string }>({ method: "GET", path: "/version" });
  return {
    cluster,
    wire,
    executor,
    apiServer: {
      metrics: async () => samplesOf(await cluster.client.text({ method: "GET", path: "/metrics" })),
    },
    settings: {
      database: await databaseOf(wire),
      kubernetes: `${gitVersion}, cluster of the kind "${mode}"`,
      executor: `${slots} slots`,
    },
  };
}

/** One that nobody else uses meanwhile; only one with a real node fits on a machine, so that one is shared. */
function clusterOf(mode: ClusterMode, scope: TestScope): Promise<TestCluster> {
  const isOwn = mode !== "node" && !process.env.KUBECONFIG;
  return isOwn ? brokenTestCluster(scope, { mode }) : testCluster(scope, { mode });
}

function drainEmbedded(wire: Wire) {
  const request = create(DrainClusterRequestSchema, { name: "embedded", reason: "all is for the cluster" });
  return wire.unary(ClusterAdminService.method.drainCluster, request);
}

async function isLive(wire: Wire): Promise<boolean> {
  const request = create(GetClusterRequestSchema, { name: "kube" });
  const { cluster } = await wire.unary(ClusterAdminService.method.getCluster, request);
  return cluster?.state === ClusterState.LIVE;
}

async function startExecutor(
  { slots, cpuProf }: KubeStageOptions,
  { kubeconfig, namespace }: TestCluster,
  controlPlane: string,
  after: (hook: () => Promise<void>) => void,
): Promise<Wire> {
  const home = await mkdtemp(join(tmpdir(), "flyte-ts-bench-"));
  after(() => rm(home, { recursive: true, force: true }));
  const config = join(home, "executor.json");
  // Many pods fit on a small machine.
  await writeFile(config, JSON.stringify({ pods: { requests: { cpu: "10m", memory: "16Mi" } } }));
  const args = ["executor", "--json", "--cluster", "kube", "--control-plane", controlPlane, "--kubeconfig", kubeconfig];
  args.push("--namespace", namespace, "--slots", String(slots), "--health-port", "0", "--config", config);
  const profiled = cpuProf ? { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${cpuProf}` } : undefined;
  const program = await startProgram(args, profiled);
  after(program.stop);
  const wire = connectWire(String(program.ready.health));
  after(async () => wire.close());
  return wire;
}
