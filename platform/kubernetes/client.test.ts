/** Calls against a real API server: the verbs, and what every kind of refusal looks like. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { isKubernetesError, KubernetesError } from "./errors.ts";
import type { KubeObject } from "./objects.ts";
import { resource } from "./resource.ts";
import { configMaps } from "./testing/config-maps.ts";
import { eventually, needsCluster, testCluster } from "./testing.ts";

async function failure(promise: Promise<unknown>): Promise<KubernetesError> {
  const error = await promise.then(
    () => assert.fail("it did not fail"),
    (thrown: unknown) => thrown,
  );
  assert(error instanceof KubernetesError, String(error));
  return error;
}

test(
  "an object is made, read, replaced, applied, patched, listed in pages and deleted",
  needsCluster("api"),
  async (t) => {
    const cluster = await testCluster(t, { mode: "api" });
    const { namespace } = cluster;
    const maps = configMaps(cluster.client);
    const made = await maps.create({ metadata: { name: "a", namespace }, data: { x: "1" } });
    assert.ok(made.metadata.uid);
    assert.deepEqual((await maps.get("a", { namespace })).data, { x: "1" });
    const replaced = await maps.replace({ ...made, data: { x: "2" } });
    assert.deepEqual(replaced.data, { x: "2" });
    const body = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "a", namespace }, data: { y: "3" } };
    assert.deepEqual((await maps.apply(body, { fieldManager: "test" })).data, { x: "2", y: "3" });
    assert.deepEqual((await maps.patch("a", { data: { x: null } }, { namespace })).data, { y: "3" });
    await maps.create({ metadata: { name: "b", namespace } });
    const first = await maps.list({ namespace, limit: 1 });
    assert.deepEqual(
      first.items.map(({ metadata }) => metadata.name),
      ["a"],
    );
    const second = await maps.list({
      namespace,
      limit: 1,
      ...(first.metadata.continue ? { continue: first.metadata.continue } : {}),
    });
    assert.deepEqual(
      second.items.map(({ metadata }) => metadata.name),
      ["b"],
    );
    await maps.delete("a", { namespace });
    assert.equal((await failure(maps.get("a", { namespace }))).reason, "NotFound");
  },
);

test("refusals are told apart", needsCluster("api"), async (t) => {
  const cluster = await testCluster(t, { mode: "api" });
  const { namespace } = cluster;
  const maps = configMaps(cluster.client);
  const made = await maps.create({ metadata: { name: "a", namespace } });
  await t.test("the same name again", async () => {
    const error = await failure(maps.create({ metadata: { name: "a", namespace } }));
    assert.equal(error.reason, "AlreadyExists");
    assert.equal(error.objectName, "a");
    assert.match(
      error.message,
      new RegExp(`^cannot create configmaps "a" in namespace "${namespace}": AlreadyExists \\(409\\)`),
    );
  });
  await t.test("an old version", async () => {
    await maps.patch("a", { data: { x: "1" } }, { namespace });
    assert.equal((await failure(maps.replace(made))).reason, "Conflict");
  });
  await t.test("fields of another manager", async () => {
    const body = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "a", namespace }, data: { x: "2" } };
    assert.equal((await failure(maps.apply(body, { fieldManager: "other" }))).reason, "Conflict");
    assert.deepEqual((await maps.apply(body, { fieldManager: "other", force: true })).data, { x: "2" });
  });
  await t.test("a precondition", async () => {
    const error = await failure(
      maps.delete("a", { namespace, preconditions: { uid: "00000000-0000-0000-0000-000000000000" } }),
    );
    assert.equal(error.reason, "Conflict");
  });
  await t.test("a wrong object, with its fields", async () => {
    const error = await failure(maps.create({ metadata: { name: "Not_A_Name", namespace } }));
    assert.equal(error.reason, "Invalid");
    assert.deepEqual(error.fields, ["metadata.name"]);
  });
  await t.test("a field that nobody knows", async () => {
    const odd = { metadata: { name: "odd", namespace }, colour: "red" } as KubeObject;
    assert.match((await failure(maps.create(odd))).said, /unknown field "colour"/);
  });
  await t.test("too large for its kind, for etcd and for the API server", async () => {
    const large = (mib: number) => ({
      metadata: { name: `large-${mib}`, namespace },
      data: { x: "x".repeat(mib << 20) },
    });
    assert.equal((await failure(maps.create(large(2)))).reason, "Invalid");
    assert.equal((await failure(maps.create(large(4)))).reason, "TooLarge");
    const leases = cluster.client.resource<KubeObject & { metadata: object }>({
      group: "coordination.k8s.io",
      version: "v1",
      plural: "leases",
      namespaced: true,
    });
    const finalizers = Array.from({ length: 40_000 }, (_, index) => `flyte.org/a-finalizer-with-a-long-name-${index}`);
    const error = await failure(leases.create({ metadata: { name: "large", namespace, finalizers } }));
    assert.equal(error.reason, "TooLarge", error.message);
  });
  await t.test("a full quota", async () => {
    const quotas = cluster.client.resource<KubeObject & { spec?: object; status?: object }>({
      group: "",
      version: "v1",
      plural: "resourcequotas",
      namespaced: true,
    });
    const hard = { "count/configmaps": "1" };
    await quotas.create({ metadata: { name: "full", namespace }, spec: { hard } });
    // What a controller would count, where none runs.
    await quotas.patchStatus("full", { status: { hard, used: { "count/configmaps": "1" } } }, { namespace });
    const error = await eventually(async () => {
      const thrown = await maps
        .create({ metadata: { name: "one-more", namespace } })
        .catch((thrown: unknown) => thrown);
      if (isKubernetesError(thrown)) return thrown;
      await maps.delete("one-more", { namespace });
      return undefined;
    });
    assert.deepEqual([error.reason, error.isQuota], ["Forbidden", true], error.message);
    await quotas.delete("full", { namespace });
  });
  await t.test("a name that would lead elsewhere", async () => {
    const error = await failure(maps.get("../secrets/x", { namespace }));
    assert.ok(isKubernetesError(error, "NotFound", "Invalid", "BadRequest"), error.message);
  });
  await t.test("a kind that is not there", async () => {
    const nothing = resource(cluster.client, {
      group: "nobody.example",
      version: "v1",
      plural: "nothings",
      namespaced: true,
    });
    assert.equal((await failure(nothing.get("a", { namespace }))).reason, "NotFound");
  });
});
