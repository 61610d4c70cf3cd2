/**
 * The chart as people install it: control plane and executor as pods of the image, on a PostgreSQL and a bucket outside.
 *
 * What is not here as in other clusters: no kube-proxy and no DNS, so both reach Services through relays of this process.
 */

import { fileURLToPath } from "node:url";
import { type TestCluster, testCluster } from "@flyte-ts/platform/kubernetes/testing.ts";
import { bucket } from "./bucket.ts";
import { ownDatabase } from "./database.ts";
import { chart, helm, type Values, valuesFile } from "./helm.ts";
import { endpointsOf, relay } from "./relay.ts";
import type { Scope } from "./server.ts";
import { serverImage } from "./server-image.ts";
import { taskImage } from "./task-image.ts";

export interface Release {
  /** The namespaces of the release and of its tasks. */
  own: TestCluster;
  tasks: TestCluster;
  /** The control plane's Service. */
  url: string;
  /** `helm upgrade --install` with these values over the first ones; returns when all is ready. */
  upgrade(values: Values): Promise<void>;
  uninstall(): Promise<void>;
  /** What the pods of a part have written. */
  log(part: "control-plane" | "executor"): Promise<string>;
}

const name = "test";
const service = "test-flyte-ts-control-plane";
const crd = fileURLToPath(new URL("../../deploy/crd/taskactions.yaml", import.meta.url));

export async function installRelease(t: Scope): Promise<Release> {
  const own = await testCluster(t, { mode: "node" });
  const tasks = await testCluster(t, { mode: "node" });
  const image = await serverImage();
  await own.importImage(image);
  await own.importImage(await taskImage());
  const database = await ownDatabase(t);
  const { port } = new URL(database.url());
  const postgres = await relay(t, own, () => [{ host: "127.0.0.1", port: Number(port) }]);
  const store = await bucket(t, own);
  const { hostname, port: apiPort } = new URL(await serverOf(own));
  const api = await relay(t, own, () => [{ host: hostname, port: Number(apiPort) }]);
  const front = await relay(t, own, () => endpointsOf(own, service));
  const url = `http://${front.host}:${front.port}`;
  // Of several releases in a cluster one has the definition; here it is the tests'.
  await own.kubectl("apply", "--server-side", "--force-conflicts", "-f", crd);

  const databaseUrl = new URL(database.url());
  databaseUrl.host = `${postgres.host}:${postgres.port}`;
  const [repository, tag] = image.ref.split(/:(?=[^:]*$)/);
  const base = {
    image: { repository, tag, pullPolicy: "Never" },
    database: { url: databaseUrl.href },
    objectStore: { ...store, region: "us-east-1" },
    crd: { install: false },
    controlPlane: { resources: { requests: { cpu: "50m", memory: "128Mi" }, limits: { memory: "768Mi" } } },
    executor: {
      cluster: "kube",
      controlPlaneUrl: url,
      tasks: { namespace: tasks.namespace, createNamespace: false },
      resources: { requests: { cpu: "50m", memory: "96Mi" }, limits: { memory: "768Mi" } },
      extraEnv: [
        { name: "KUBERNETES_SERVICE_HOST", value: api.host },
        { name: "KUBERNETES_SERVICE_PORT", value: String(api.port) },
      ],
      config: {
        pods: {
          requests: { cpu: "10m", memory: "64Mi" },
          terminationGraceSeconds: 2,
          imagePullPolicy: "Never",
        },
      },
    },
  };
  const about = ["--namespace", own.namespace, "--kubeconfig", own.kubeconfig];

  async function upgrade(values: Values): Promise<void> {
    const files = [await valuesFile(t, base), await valuesFile(t, values)].flatMap((file) => ["--values", file]);
    await helm(t, "upgrade", "--install", name, chart, ...about, ...files, "--wait", "--timeout", "5m");
  }
  async function log(part: string): Promise<string> {
    const label = `app.kubernetes.io/component=${part}`;
    return own.kubectl("logs", "-l", label, "--prefix", "--tail=-1", "--ignore-errors");
  }
  async function describe(): Promise<string> {
    const pods = await own.kubectl("describe", "pods").catch(String);
    return `${pods.slice(-6000)}\n${(await log("control-plane").catch(String)).slice(-6000)}\n${(await log("executor").catch(String)).slice(-6000)}`;
  }
  t.after(async () => {
    if (t.error) t.diagnostic?.(await describe());
  });
  try {
    await upgrade({});
  } catch (error) {
    throw new Error(`the chart does not become ready: ${String(error)}\n${await describe()}`, { cause: error });
  }
  return {
    own,
    tasks,
    url,
    upgrade,
    log,
    uninstall: async () => void (await helm(t, "uninstall", name, ...about, "--wait")),
  };
}

async function serverOf(cluster: TestCluster): Promise<string> {
  return cluster.kubectl("config", "view", "--minify", "-o", "jsonpath={.clusters[0].cluster.server}");
}
