/**
 * `flyte-ts executor` as a child process on a test cluster, in the test's own namespace.
 *
 * ```ts
 * const cluster = await testCluster(t, { mode: "node" });
 * const server = await startServer(t, { args: listenFor(cluster) });
 * const executor = await startExecutor(t, { cluster, name: "gpu", controlPlane: server.url });
 * ```
 */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { eventually, type TestCluster } from "@flyte-ts/platform/kubernetes/testing.ts";
import { stringify } from "yaml";
import { kill } from "./processes.ts";
import { end, launch, type Running } from "./program.ts";
import type { Scope } from "./server.ts";

const crd = fileURLToPath(new URL("../../deploy/crd/taskactions.yaml", import.meta.url));

export interface ExecutorOptions {
  cluster: TestCluster;
  /** In the control plane. */
  name: string;
  controlPlane: string;
  /** As in the configuration file. */
  config?: Readonly<Record<string, unknown>>;
  args?: readonly string[];
  start?: boolean;
}

export interface TestExecutor {
  /** Of the executor as it runs now. */
  readonly pid: number;
  /** Where health and metrics are. */
  readonly health: string;
  log(): Promise<string>;
  start(): Promise<void>;
  stop(): Promise<number | null>;
  kill9(): Promise<void>;
  /** SIGSTOP and SIGCONT: an executor that is cut off. */
  pause(): void;
  resume(): void;
}

/** Arguments of `up` for a server that the cluster's pods reach. */
export const listenFor = ({ gateway }: TestCluster) => ["--host", gateway, "--open"];

export async function startExecutor(t: Scope, options: ExecutorOptions): Promise<TestExecutor> {
  const { cluster, name, controlPlane, config = {} } = options;
  await cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", crd);
  await eventually(async () => (await cluster.kubectl("get", "taskactions").catch(() => undefined)) !== undefined);
  const home = await mkdtemp(join(tmpdir(), "flyte-ts-executor-"));
  const logFile = join(home, "executor.log");
  const configFile = join(home, "executor.yaml");
  await writeFile(configFile, stringify({ ...config, pods: { ...pods, ...(config.pods as object | undefined) } }));
  let running: Running | undefined;
  const now = (): Running => {
    if (!running) throw new Error(`the executor of ${name} does not run`);
    return running;
  };
  const executor: TestExecutor = {
    get pid() {
      return now().pid;
    },
    get health() {
      return String(now().ready.health);
    },
    log: () => readFile(logFile, "utf8").catch(() => ""),
    async start() {
      const args = ["executor", "--json", "--cluster", name, "--control-plane", controlPlane];
      args.push("--kubeconfig", cluster.kubeconfig, "--namespace", cluster.namespace);
      args.push("--health-port", "0", "--config", configFile, ...(options.args ?? []));
      running = await launch({ home, logFile, args });
    },
    async stop() {
      const ended = running;
      running = undefined;
      return ended ? end(ended) : null;
    },
    async kill9() {
      const { pid, exited } = now();
      running = undefined;
      kill(pid, "SIGKILL");
      await exited;
    },
    pause: () => void kill(now().pid, "SIGSTOP"),
    resume: () => void kill(now().pid, "SIGCONT"),
  };
  t.after(async () => {
    if (running) kill(running.pid, "SIGCONT");
    await executor.stop();
    if (t.error) t.diagnostic?.(`the executor's last words:\n${(await executor.log()).slice(-6000)}`);
    await rm(home, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 });
  });
  if (options.start !== false) await executor.start();
  return executor;
}

/** Many pods fit on a small machine, each may use what is free, and what is ended ends soon. */
const pods = {
  requests: { cpu: "10m", memory: "64Mi" },
  limits: { cpu: "2", memory: "1Gi" },
  terminationGraceSeconds: 2,
  imagePullPolicy: "Never",
};
