/**
 * The executor of a Kubernetes cluster: dials a control plane elsewhere and runs what it leases as pods, jobs and the like.
 * Of several replicas one works; the others stand by.
 */
import { hostname } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { type RemoteControlLink, remoteControlLink } from "@flyte-ts/data-plane/cluster-link";
import { inTurns, SupersededError } from "@flyte-ts/data-plane/executor";
import type { Config } from "@flyte-ts/platform/config";
import { type KubernetesClient, kubernetesClient, leaderElection, loadConnection } from "@flyte-ts/platform/kubernetes";
import { openObjectStore } from "@flyte-ts/platform/object-store";
import { startRpcServer } from "@flyte-ts/platform/rpc";
import type { Logger } from "@flyte-ts/platform/telemetry";
import type { ExecutorConfig } from "./executor-config.ts";
import { executorHealth } from "./executor-health.ts";
import { remoteStore } from "./foundation.ts";
import { kubernetesDataPlane } from "./kubernetes-data-plane.ts";
import type { Served } from "./serve.ts";
import { background, type Stack, stack } from "./stack.ts";
import { executorStore } from "./store-access.ts";
import { serverTelemetry } from "./telemetry.ts";

export interface ExecutorServer extends Served {
  /** Where /healthz, /readyz and /metrics are. */
  health: string;
  /** Ends its own work; pods go on and are taken over by the next executor of the cluster. */
  stop(): Promise<void>;
}

export interface ExecutorServerOptions {
  config: ExecutorConfig;
  log: Logger;
  onStep(step: string): void;
  signal: AbortSignal;
}

export async function startExecutor(options: ExecutorServerOptions): Promise<ExecutorServer> {
  const parts = stack();
  try {
    return await start(options, parts);
  } catch (error) {
    await parts.unwind();
    throw error;
  }
}

async function start({ config, log, onStep, signal }: ExecutorServerOptions, parts: Stack): Promise<ExecutorServer> {
  const { cluster } = config;
  onStep("connecting to Kubernetes");
  const connection = await loadConnection({
    ...(config.kubeconfig && { kubeconfig: config.kubeconfig }),
    ...(config.context && { context: config.context }),
  });
  const client = kubernetesClient({ connection });
  parts.push(() => client.close());
  // Of its own: behind a burst of calls for pods the lead would be lost in the queue.
  const urgent = kubernetesClient({ connection });
  parts.push(() => urgent.close());
  const namespace = config.namespace ?? client.namespace;

  const link = remoteControlLink({ url: config.controlPlane });
  const telemetry = serverTelemetry({ otlpEndpoint: config.telemetry.otlpEndpoint });
  parts.push(() => telemetry.shutdown());
  const health = executorHealth(telemetry.metrics, config.controlPlane);
  health.needs("the control plane", (within) => link.objectStore(cluster, within));
  health.needs("the Kubernetes API server", (within) => namespaceOf(urgent, namespace, within));
  const { host, port } = config.health;
  // First, so that a control plane that is still away is told by /readyz and kills nothing.
  const server = await startRpcServer({
    host,
    port,
    routes: () => {},
    http: [health.http, telemetry.http],
    health,
    log,
    metrics: telemetry.rpc,
  });
  parts.push(() => server.drain(1000));

  onStep("asking the control plane where payloads are");
  const store = await storeOf(config, link, log, signal);
  const opened = await openObjectStore(remoteStore(store));
  parts.push(() => opened.close());
  health.needs("the object store", (within) => opened.store.check(within));

  const identity = `${hostname()}-${process.pid}`;
  const data = kubernetesDataPlane({
    config,
    client,
    namespace,
    clusterUid: (until) => clusterUid(client, namespace, log, until),
    link: health.watched(link),
    objects: opened.store,
    store,
    name: identity,
    log,
  });
  const work = config.leaderElection
    ? leading({ client: urgent, cluster, namespace, identity, log }, health.leading(data.run))
    : inTurns({ link, log }, health.leading(data.run));
  const { failed, stop } = background(log, [work]);
  parts.push(stop);
  return { health: server.url, failed, stop: () => parts.unwind() };
}

/** Patient: an executor may come up before its control plane. */
async function storeOf(
  config: ExecutorConfig,
  link: RemoteControlLink,
  log: Logger,
  signal: AbortSignal,
): Promise<Config["objectStore"] & { url: string }> {
  const own = config.objectStore;
  if (own.url) return { ...own, url: own.url };
  for (;;) {
    try {
      const told = executorStore(own, await link.objectStore(config.cluster, signal), config.controlPlane);
      if (told.url) return { ...told, url: told.url };
      throw new Error("the control plane does not say where payloads are: give --object-store");
    } catch (err) {
      if (signal.aborted) throw err;
      log.warn({ err, controlPlane: config.controlPlane }, "the control plane cannot be reached yet");
    }
    await sleep(1000, undefined, { signal });
  }
}

interface Candidate {
  client: KubernetesClient;
  cluster: string;
  namespace: string;
  identity: string;
  log: Logger;
}

function leading(
  { client, cluster, namespace, identity, log }: Candidate,
  run: (signal: AbortSignal) => Promise<void>,
): (signal: AbortSignal) => Promise<void> {
  const election = leaderElection({ client, name: leaseName(cluster), namespace, identity, log });
  return (signal) =>
    election.run(signal, async (lead) => {
      log.info({ cluster, identity }, "this replica leads");
      try {
        await run(lead);
      } catch (error) {
        if (!(error instanceof SupersededError)) throw error;
        // By the next leader, when this one was cut off; by one outside of the election, which stands by once we lead again.
        log.warn({ cluster, holder: error.holder }, "another executor took over this cluster; the lead is let go");
      }
    });
}

function leaseName(cluster: string): string {
  return `flyte-ts-executor-${cluster}`;
}

/** Patient: the API server may go just when this replica begins to lead. */
async function clusterUid(
  client: KubernetesClient,
  namespace: string,
  log: Logger,
  signal: AbortSignal,
): Promise<string> {
  for (; !signal.aborted; await sleep(2_000, undefined, { signal }).catch(() => {})) {
    try {
      return (await namespaceOf(client, namespace, signal)).metadata.uid ?? "";
    } catch (err) {
      if (!signal.aborted)
        log.warn({ err, namespace }, "the namespace that tells this cluster from others cannot be read");
    }
  }
  return "";
}

/** Readable with rights on one namespace; its uid is unlike any other cluster's. */
function namespaceOf(client: KubernetesClient, namespace: string, signal: AbortSignal) {
  const namespaces = client.resource({ group: "", version: "v1", plural: "namespaces", namespaced: false });
  return namespaces.get(namespace, { signal });
}
