/**
 * Nothing is missed: 2,000 objects made, changed, deleted and made again in bursts by several writers, while watches end
 * early, connections are cut and frozen, and the API server is killed and comes back.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { isKubernetesError } from "./errors.ts";
import type { Resource } from "./resource.ts";
import { type ConfigMap, configMaps } from "./testing/config-maps.ts";
import { differences, recordedWatch } from "./testing/recorded-watch.ts";
import { relayTo } from "./testing/relay.ts";
import { brokenTestCluster, eventually, needsCluster } from "./testing.ts";

const objects = 2_000;
const writers = 5;
const parallel = 6;
/** Fills the buffers on the way to who lags, so that the API server notices and ends its watch. */
const ballast = "x".repeat(8 << 10);

test("every watcher ends with what the server has", needsCluster("api"), async (t) => {
  const cluster = await brokenTestCluster(t, { mode: "api" });
  const { namespace } = cluster;
  const maps = configMaps(cluster.client);
  const cutRelay = await relayTo(t, cluster.kubeconfig);
  const frozenRelay = await relayTo(t, cluster.kubeconfig);
  const slowRelay = await relayTo(t, cluster.kubeconfig);
  const watched = { namespace, labelSelector: "of=load", backoff: { firstMs: 10, maxMs: 500 } };
  const watches = [
    recordedWatch<ConfigMap>(t, "plain", { ...watched, resource: maps }),
    recordedWatch<ConfigMap>(t, "short", {
      ...watched,
      resource: maps,
      timeoutSeconds: () => 1 + Math.round(2 * Math.random()),
    }),
    recordedWatch<ConfigMap>(t, "cut", { ...watched, resource: configMaps(cutRelay.client), pageSize: 50 }),
    recordedWatch<ConfigMap>(t, "frozen", { ...watched, resource: configMaps(frozenRelay.client), stallMs: 400 }),
    recordedWatch<ConfigMap>(t, "lagging", { ...watched, resource: configMaps(slowRelay.client) }),
  ];
  const over = new AbortController();
  const trouble = [
    every(over.signal, 100, 1_500, () => cutRelay.cut()),
    every(over.signal, 1_500, 1_500, () => frozenRelay.freeze()),
    every(over.signal, 5_000, 5_000, () => {
      slowRelay.resume();
      setTimeout(() => {
        if (!over.signal.aborted) slowRelay.hold();
      }, 500);
    }),
  ];

  /** By uid: what was last written to an object, for those whose end we ordered ourselves. */
  const lastWritten = new Map<string, string>();
  let done = 0;
  const writing = Promise.all(
    Array.from({ length: writers }, (_, writer) =>
      inParallel(parallel, objects / writers, async (index) => {
        await live(maps, namespace, `w${writer}-${index}`, lastWritten);
        done += 1;
      }),
    ),
  );
  await eventually(() => done > objects * 0.4);
  await cluster.programs.kill("kube-apiserver");
  await cluster.programs.start("kube-apiserver");
  await writing;
  over.abort();
  await Promise.all(trouble);

  const metrics = await cluster.client.text({ method: "GET", path: "/metrics" });
  const terminated = /^apiserver_terminated_watchers_total\{.*resource="configmaps"\} (\d+)/m.exec(metrics)?.[1] ?? "0";
  t.diagnostic(`the API server ended ${terminated} watches of readers that lagged`);
  const truth = (await maps.list({ namespace, labelSelector: "of=load" })).items;
  assert.ok(truth.length > objects / 4, `only ${truth.length} objects are left`);
  for (const watch of watches) {
    await eventually(() => differences(watch, truth).length === 0).catch(() =>
      assert.deepEqual(differences(watch, truth).slice(0, 10), [], watch.name),
    );
    let ends = 0;
    for (const [uid, life] of watch.lives) {
      if (!life.gone || life.missed || !lastWritten.has(uid)) continue;
      ends += 1;
      assert.equal(life.object.data?.n, lastWritten.get(uid), `${watch.name}: the last state of ${uid}`);
    }
    t.diagnostic(`${watch.name}: ${JSON.stringify(watch.counts)}, ${watch.lives.size} objects, ${ends} ends seen`);
    await watch.stop();
  }
  const [, short, cut, frozen] = watches;
  assert.ok(short && short.counts.watches > 3);
  assert.ok(cut && cut.counts.errors > 3);
  assert.ok(frozen && frozen.counts.stalls > 0);
});

/** One object's life: made, changed some times; a part is deleted at its end, and some of those are made again. */
async function live(maps: Resource<ConfigMap>, namespace: string, name: string, lastWritten: Map<string, string>) {
  const lives = Math.random() < 0.2 ? 2 : 1;
  for (let life = 1; life <= lives; life++) {
    const uid = (await make(maps, namespace, name)).metadata.uid as string;
    let n = "0";
    for (let change = Math.floor(Math.random() * 4); change > 0; change--) {
      n = String(change);
      await insist(() => maps.patch(name, { data: { n } }, { namespace }));
    }
    if (life === lives && Math.random() < 0.5) return;
    lastWritten.set(uid, n);
    await insist(() => maps.delete(name, { namespace, preconditions: { uid } })).catch((error: unknown) => {
      if (!isKubernetesError(error, "NotFound", "Conflict")) throw error;
    });
  }
}

async function make(maps: Resource<ConfigMap>, namespace: string, name: string): Promise<ConfigMap> {
  const metadata = { name, namespace, labels: { of: "load" } };
  try {
    return await insist(() => maps.create({ metadata, data: { n: "0", ballast } }));
  } catch (error) {
    // Made by a call whose answer was lost.
    if (isKubernetesError(error, "AlreadyExists")) return insist(() => maps.get(name, { namespace }));
    throw error;
  }
}

/** Until the server is there again. */
async function insist<T>(call: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await call();
    } catch (error) {
      if (
        !isKubernetesError(error) ||
        (error.reason !== "Unreachable" && error.status < 500 && !comesUp(error.status))
      ) {
        throw error;
      }
      await sleep(50);
    }
  }
}

/** An API server that has just started refuses for a moment those it does not know yet. */
function comesUp(status: number): boolean {
  return status === 401 || status === 403 || status === 429;
}

async function inParallel(parallel: number, count: number, work: (index: number) => Promise<void>): Promise<void> {
  let next = 0;
  await Promise.all(
    Array.from({ length: parallel }, async () => {
      while (next < count) await work(next++);
    }),
  );
}

/** At random moments, and once more at the end. */
async function every(signal: AbortSignal, minMs: number, maxMs: number, act: () => void): Promise<void> {
  while (!signal.aborted) {
    await sleep(minMs + (maxMs - minMs) * Math.random(), undefined, { signal }).catch(() => {});
    act();
  }
}
