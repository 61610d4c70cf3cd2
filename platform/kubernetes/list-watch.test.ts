/** What a list-watch does about each trouble, one at a time, on a real API server. */
import assert from "node:assert/strict";
import { rm } from "node:fs/promises";
import { test } from "node:test";
import { listWatch } from "./list-watch.ts";
import { type ConfigMap, configMaps } from "./testing/config-maps.ts";
import { differences, recordedWatch } from "./testing/recorded-watch.ts";
import { relayTo } from "./testing/relay.ts";
import { brokenTestCluster, eventually, needsCluster, testCluster } from "./testing.ts";

test(
  "pages are put together, selectors hold, managed fields are left out, prune keeps less",
  needsCluster("api"),
  async (t) => {
    const { client, namespace } = await testCluster(t, { mode: "api" });
    const maps = configMaps(client);
    for (let index = 0; index < 7; index++) {
      const labels = { of: index < 5 ? "mine" : "others" };
      await maps.create({ metadata: { name: `m${index}`, namespace, labels }, data: { n: String(index) } });
    }
    const watch = recordedWatch<ConfigMap>(t, "paged", {
      resource: maps,
      namespace,
      labelSelector: "of=mine",
      pageSize: 2,
      prune: ({ metadata, data }) => ({ metadata, data: { n: data?.n ?? "" } }),
    });
    await watch.whenSynced();
    assert.deepEqual(
      [...watch.objects.keys()].sort(),
      [0, 1, 2, 3, 4].map((index) => `${namespace}/m${index}`),
    );
    assert.ok(!("managedFields" in (watch.objects.get(`${namespace}/m0`) as ConfigMap).metadata));
    await maps.patch("m0", { metadata: { name: "m0", labels: { of: "others" } } }, { namespace });
    await maps.patch("m6", { metadata: { name: "m6", labels: { of: "mine" } } }, { namespace });
    await eventually(() => !watch.objects.has(`${namespace}/m0`) && watch.objects.has(`${namespace}/m6`));
  },
);

test("an object of megabytes comes whole", needsCluster("api"), async (t) => {
  const { client, namespace } = await testCluster(t, { mode: "api" });
  const maps = configMaps(client);
  const watch = recordedWatch<ConfigMap>(t, "large", { resource: maps, namespace });
  await watch.whenSynced();
  const x = "ä€😀".repeat(90_000);
  await maps.create({ metadata: { name: "large", namespace }, data: { x } });
  const seen = await eventually(() => watch.objects.get(`${namespace}/large`));
  assert.equal(seen.data?.x, x);
});

test("a silent connection is given up, and nothing is listed again", needsCluster("api"), async (t) => {
  const { client, namespace, kubeconfig } = await testCluster(t, { mode: "api" });
  const relay = await relayTo(t, kubeconfig);
  const watch = recordedWatch<ConfigMap>(t, "frozen", { resource: configMaps(relay.client), namespace, stallMs: 300 });
  await watch.whenSynced();
  await configMaps(client).create({ metadata: { name: "before", namespace } });
  await eventually(() => watch.objects.has(`${namespace}/before`));
  relay.freeze();
  await configMaps(client).create({ metadata: { name: "meanwhile", namespace } });
  await eventually(() => watch.objects.has(`${namespace}/meanwhile`));
  assert.ok(watch.counts.stalls > 0);
  assert.equal(watch.counts.lists, 1);
});

test("what a handler throws ends the run with it", needsCluster("api"), async (t) => {
  const { client, namespace } = await testCluster(t, { mode: "api" });
  const bug = new Error("a bug");
  const watch = listWatch<ConfigMap>({
    resource: configMaps(client),
    namespace,
    onEvent(event) {
      if (event.type === "synced") throw bug;
    },
  });
  await assert.rejects(watch.run(new AbortController().signal), bug);
  await assert.rejects(watch.whenSynced(), /ended before its first list/);
});

test("a run that is stopped before it had anything says so to those who wait", needsCluster("api"), async (t) => {
  const { client, namespace } = await testCluster(t, { mode: "api" });
  const watch = listWatch<ConfigMap>({ resource: configMaps(client), namespace });
  await watch.run(AbortSignal.abort());
  await assert.rejects(watch.whenSynced(), /ended before its first list/);
});

test("a version that is too old, and a store that was emptied", needsCluster("api"), async (t) => {
  const cluster = await brokenTestCluster(t, { mode: "api" });
  const { namespace, programs } = cluster;
  const maps = configMaps(cluster.client);
  const relay = await relayTo(t, cluster.kubeconfig);
  const backoff = { firstMs: 10, maxMs: 200 };
  const watch = recordedWatch<ConfigMap>(t, "late", {
    resource: configMaps(relay.client),
    labelSelector: "of=late",
    backoff,
  });
  const make = (name: string) =>
    maps.create({ metadata: { name, namespace, labels: { of: "late" } }, data: { n: "0" } });
  const truth = async () => (await maps.list({ labelSelector: "of=late" })).items;
  await Promise.all(["stays", "changes", "goes", "again"].map(make));
  await watch.whenSynced();
  await eventually(() => watch.objects.size === 4);
  const uidOf = (name: string) => watch.objects.get(`${namespace}/${name}`)?.metadata.uid as string;
  const [goes, again] = [uidOf("goes"), uidOf("again")];

  await t.test("410: listed again, and what vanished meanwhile is told as deleted", async () => {
    relay.close();
    await maps.patch("changes", { data: { n: "1" } }, { namespace });
    await maps.delete("goes", { namespace });
    await maps.delete("again", { namespace });
    await make("again");
    // Its memory of changes begins anew with what is there now.
    await programs.kill("kube-apiserver");
    await programs.start("kube-apiserver");
    await eventually(() => maps.patch("stays", { data: { n: "2" } }, { namespace }).catch(() => false as const));
    relay.open();
    const now = await truth();
    await eventually(() => differences(watch, now).length === 0);
    assert.equal(watch.counts.gone, 1);
    assert.equal(watch.counts.lists, 2);
    for (const uid of [goes, again]) {
      const { gone, missed } = watch.lives.get(uid) ?? {};
      assert.deepEqual({ gone, missed }, { gone: true, missed: true });
    }
  });

  await t.test("versions that went back: listed again", async () => {
    await programs.kill("kube-apiserver");
    await programs.kill("etcd");
    await rm(cluster.etcdDir, { recursive: true });
    await programs.start("etcd");
    await programs.start("kube-apiserver");
    const namespaces = cluster.client.resource({ group: "", version: "v1", plural: "namespaces", namespaced: false });
    await eventually(() => namespaces.create({ metadata: { name: namespace } }).catch(() => false as const));
    await make("new");
    const now = await truth();
    assert.deepEqual(
      now.map(({ metadata }) => metadata.name),
      ["new"],
    );
    await eventually(() => differences(watch, now).length === 0);
  });
});
