/**
 * Real pods, lives of an executor that follow their logs, and a reader that shares nothing with them but the object
 * store, for tests.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { systemClock } from "@flyte-ts/core";
import { type KubernetesClient, listWatch } from "@flyte-ts/platform/kubernetes";
import { type ClusterMode, eventually, testCluster } from "@flyte-ts/platform/kubernetes/testing.ts";
import { type FileStore, openFileStore, StoreUnavailableError } from "@flyte-ts/platform/object-store";
import { silentLog } from "../../../executor/log.ts";
import { type LogLine, LogNotFoundError, logStore } from "../../../logs/index.ts";
import { type PodLogsOptions, podLogs } from "../index.ts";
import type { Pod, PodSpec } from "../objects.ts";
import { isQuiet } from "../phase.ts";
import { IMAGE } from "./real-cluster.ts";

export const uriOf = (pod: string) => `s3://flyte-data/p/d/r/${pod}/1`;

export async function podLogsCluster(t: TestContext, mode: ClusterMode = "node") {
  const cluster = await testCluster(t, { mode });
  const { namespace } = cluster;
  const folder = await mkdtemp(join(tmpdir(), "flyte-ts-pod-logs-"));
  const objects = await openFileStore({ folder, root: "s3://flyte-data", sync: "none" });
  const elsewhere = await openFileStore({ folder, root: "s3://flyte-data", sync: "none" });
  t.after(async () => {
    await objects.close();
    await elsewhere.close();
    await rm(folder, { recursive: true, force: true });
  });
  const pods = cluster.client.resource<Pod>({ group: "", version: "v1", plural: "pods", namespaced: true });
  const reader = logStore({ objectStore: elsewhere, clock: systemClock, log: silentLog });

  /** An executor's share in logs: sees pods, follows them. `kill` is the end without any last act. */
  function life(options: Partial<PodLogsOptions> & { client?: KubernetesClient } = {}) {
    const stop = new AbortController();
    const store = killable(objects);
    const logs = podLogs({ client: cluster.client, objectStore: store.objects, log: silentLog, ...options });
    const seen = new Map<string, Pod>();
    const watch = listWatch<Pod>({
      resource: pods,
      namespace,
      log: silentLog,
      onEvent(event) {
        if (event.type === "synced") return;
        if (event.type === "deleted") return void seen.delete(event.object.metadata.name);
        seen.set(event.object.metadata.name, event.object);
        if (event.object.metadata.annotations?.finished) return;
        void logs.follow(uriOf(event.object.metadata.name), event.object);
      },
    });
    const running = Promise.all([logs.run(stop.signal), watch.run(stop.signal)]);
    const end = async () => {
      stop.abort();
      await running;
    };
    t.after(end);
    return {
      logs,
      seen,
      end,
      async kill() {
        store.kill();
        await end();
      },
      async finish(name: string) {
        await logs.finish(uriOf(name), { namespace, name });
      },
      quiet: (name: string) =>
        eventually(() => {
          const pod = seen.get(name);
          return pod && isQuiet(pod) ? pod : undefined;
        }),
    };
  }

  return {
    ...cluster,
    pods,
    objects,
    life,
    shell(name: string, script: string, spec: Partial<PodSpec> = {}): Promise<Pod> {
      const main = { name: "main", image: IMAGE, command: ["/bin/sh", "-c", script] };
      const { containers = [], ...rest } = spec;
      return pods.create({
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name, namespace, annotations: { primary_container_name: "main" } },
        spec: { restartPolicy: "Never", terminationGracePeriodSeconds: 5, containers: [main, ...containers], ...rest },
      });
    },
    remove: (name: string, graceSeconds?: number) =>
      pods.delete(name, { namespace, ...(graceSeconds === undefined ? {} : { gracePeriodSeconds: graceSeconds }) }),
    gone: (name: string) =>
      eventually(() =>
        pods.get(name, { namespace }).then(
          () => false,
          () => true,
        ),
      ),
    /** From the first line, which is waited for, to the end. */
    async read(name: string, onLine: (line: LogLine) => void = () => {}, signal?: AbortSignal): Promise<LogLine[]> {
      const lines: LogLine[] = [];
      for (;;) {
        try {
          for await (const batch of reader.tail({ attemptUri: uriOf(name), ...(signal && { signal }) })) {
            for (const line of batch.lines) {
              lines.push(line);
              onLine(line);
            }
          }
          return lines;
        } catch (error) {
          if (!(error instanceof LogNotFoundError)) throw error;
          await new Promise((resolve) => setTimeout(resolve, 50));
        }
      }
    },
  };
}

/** A store that takes nothing more from a process that was killed. */
function killable(objects: FileStore): { objects: FileStore; kill(): void } {
  let isDead = false;
  const guarded =
    <A extends unknown[], R>(act: (uri: string, ...rest: A) => Promise<R>) =>
    async (uri: string, ...rest: A): Promise<R> => {
      if (isDead) throw new StoreUnavailableError(uri, "its process was killed");
      return act(uri, ...rest);
    };
  return {
    objects: { ...objects, put: guarded(objects.put) },
    kill() {
      isDead = true;
    },
  };
}

export const textOf = (lines: readonly LogLine[]) => lines.map(({ message }) => message).join("");
