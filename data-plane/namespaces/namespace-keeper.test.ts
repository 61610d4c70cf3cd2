/** Namespaces on a real cluster: made once, furnished, waited for, and what rights are missing. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { type TestContext, test } from "node:test";
import { type KubernetesClient, kubernetesClient, loadConnection } from "@flyte-ts/platform/kubernetes";
import { eventually, needsCluster, testCluster } from "@flyte-ts/platform/kubernetes/testing.ts";
import { silentLog } from "../executor/log.ts";
import { keyOf, leaseOf } from "../executor/testing/leases.ts";
import { kubernetesActionStore, taskActionResource } from "../task-action/index.ts";
import { applyCrd, removeAll } from "../task-action/testing/store-cluster.ts";
import { NamespaceNotReadyError, namespaceKeeper, namespaceMap } from "./index.ts";

async function keepers(t: TestContext, mode: "api" | "control-plane" = "api") {
  const cluster = await testCluster(t, { mode });
  const { client } = cluster;
  const namespaces = client.resource({ group: "", version: "v1", plural: "namespaces", namespaced: false });
  const name = `flyte-ts-test-${randomBytes(4).toString("hex")}`;
  t.after(() => namespaces.delete(name).catch(() => {}));
  return { ...cluster, namespaces, name };
}

const lease = leaseOf({});

test("it is made once, with what is configured, whoever else makes it", needsCluster("api"), async (t) => {
  const { client, name, namespaces, kubectl } = await keepers(t);
  const calls: string[] = [];
  const options = {
    log: silentLog,
    quota: { pods: "7" },
    serviceAccount: { name: "tasks", annotations: { role: "r" }, imagePullSecrets: ["registry"] },
  };
  const counting = kubernetesClient({
    connection: await loadConnection({ kubeconfig: (await testCluster(t, { mode: "api" })).kubeconfig }),
    onCall: ({ verb, resource }) => calls.push(`${verb} ${resource}`),
  });
  t.after(() => counting.close());
  const first = namespaceKeeper({ client: counting, ...options });
  const second = namespaceKeeper({ client, ...options });
  await Promise.all([first, first, second].map((keeper) => keeper.prepare(name, lease)));
  const before = calls.length;
  await first.prepare(name, lease);
  assert.equal(calls.length, before);
  const { labels, annotations } = (await namespaces.get(name)).metadata;
  assert.equal(labels?.["app.kubernetes.io/managed-by"], "flyte-ts");
  assert.equal(annotations?.["flyte.org/project"], "p");
  const get = async (what: string) => JSON.parse(await kubectl("get", what, "-n", name, "-o", "json"));
  assert.deepEqual((await get("resourcequota/flyte-ts")).spec.hard, { pods: "7" });
  const account = await get("serviceaccount/tasks");
  assert.deepEqual([account.metadata.annotations, account.imagePullSecrets], [{ role: "r" }, [{ name: "registry" }]]);
});

test("one that an administrator made is used as it is", needsCluster("api"), async (t) => {
  const { client, name, namespaces, kubectl } = await keepers(t);
  await namespaces.create({ apiVersion: "v1", kind: "Namespace", metadata: { name } });
  await namespaceKeeper({ client, log: silentLog, quota: { pods: "7" } }).prepare(name, lease);
  assert.equal((await kubectl("get", "resourcequota", "-n", name, "-o", "name")).trim(), "");
});

test("one that is being deleted is waited for, and made anew", needsCluster("control-plane"), async (t) => {
  const { client, name, namespaces, kubectl } = await keepers(t, "control-plane");
  const keeper = namespaceKeeper({ client, log: silentLog });
  await namespaces.create({ apiVersion: "v1", kind: "Namespace", metadata: { name } });
  const maps = client.resource({ group: "", version: "v1", plural: "configmaps", namespaced: true });
  const metadata = { name: "holder", namespace: name, finalizers: ["flyte.org/test"] };
  await maps.create({ apiVersion: "v1", kind: "ConfigMap", metadata });
  await kubectl("delete", "namespace", name, "--wait=false");
  await assert.rejects(keeper.prepare(name, lease), NamespaceNotReadyError);
  await maps.patch("holder", { metadata: { finalizers: null } }, { namespace: name });
  await eventually(() =>
    keeper
      .prepare(name, lease)
      .then(() => true)
      .catch(() => false),
  );
  assert.equal((await namespaces.get(name)).metadata.labels?.["app.kubernetes.io/managed-by"], "flyte-ts");
});

test("missing rights are named, in the attempt's error", needsCluster("api"), async (t) => {
  const { kubeconfig, name, client } = await keepers(t);
  await assert.rejects(
    namespaceKeeper({ client: await nobody(t, kubeconfig), log: silentLog }).prepare(name, lease),
    /cannot get namespaces .*allow verb "get" on resource "namespaces" of API group "" in a ClusterRole/,
  );
  await applyCrd({ client, kubectl: (await testCluster(t, { mode: "api" })).kubectl });
  const keeper = namespaceKeeper({ client: await nobody(t, kubeconfig), log: silentLog });
  await using store = running(client, name, keeper.prepare);
  await assert.rejects(
    store.create({ key: keyOf(lease), lease, transitions: [], details: {}, released: false }),
    (error: Error) =>
      error.name === "UnstorableError" && /allow verb "get" on resource "namespaces"/.test(error.message),
  );
});

test("actions of many projects are stored and seen, each in its namespace", needsCluster("api"), async (t) => {
  const { client, kubectl, namespaces } = await keepers(t);
  await applyCrd({ client, kubectl });
  const tag = randomBytes(3).toString("hex");
  const map = namespaceMap({ mode: "template", template: `fts${tag}-{project}-{domain}` });
  const keeper = namespaceKeeper({ client, log: silentLog });
  const leases = ["one", "two"].map((project, index) => {
    const made = leaseOf({});
    if (made.ref) Object.assign(made.ref, { project, runKey: BigInt(index + 1) });
    return made;
  });
  for (const one of leases) {
    const namespace = map.namespaceFor(one);
    t.after(async () => {
      await removeAll(client, namespace);
      await namespaces.delete(namespace);
    });
  }
  const options = { cluster: `c-${tag}`, namespaceFor: map.namespaceFor };
  {
    await using store = running(client, undefined, keeper.prepare, options);
    for (const one of leases) {
      await store.create({ key: keyOf(one), lease: one, transitions: [], details: {}, released: false });
    }
  }
  await using store = running(client, undefined, keeper.prepare, options);
  const records = await store.list();
  assert.deepEqual(records.map(({ lease: { ref } }) => ref?.project).sort(), ["one", "two"]);
  const actions = client.resource(taskActionResource);
  for (const one of leases) assert.equal((await actions.list({ namespace: map.namespaceFor(one) })).items.length, 1);
});

/** Somebody without any rights. */
async function nobody(t: TestContext, kubeconfig: string): Promise<KubernetesClient> {
  const connection = await loadConnection({ kubeconfig });
  const client = kubernetesClient({
    connection: { ...connection, headers: { ...connection.headers, "impersonate-user": "nobody" } },
  });
  t.after(() => client.close());
  return client;
}

function running(
  client: KubernetesClient,
  namespace: string | undefined,
  prepareNamespace: Parameters<typeof kubernetesActionStore>[0]["prepareNamespace"],
  options: Partial<Parameters<typeof kubernetesActionStore>[0]> = {},
) {
  const store = kubernetesActionStore({
    client,
    cluster: "east",
    namespaceFor: () => namespace ?? "",
    ...(namespace !== undefined && { namespaces: [namespace] }),
    ...(prepareNamespace && { prepareNamespace }),
    objectStore: {
      get: (uri) => Promise.reject(new Error(uri)),
      put: (uri) => Promise.reject(new Error(uri)),
      delete: () => Promise.resolve(),
    },
    log: silentLog,
    ...options,
  });
  const stop = new AbortController();
  const done = store.run(stop.signal);
  return {
    ...store,
    async [Symbol.asyncDispose]() {
      stop.abort();
      await done;
    },
  };
}
