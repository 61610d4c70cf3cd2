/** Secrets on a real API server: what tools and people wrote, who wins, what is refused, and that no value is told. */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { kubernetesClient, loadConnection } from "@flyte-ts/platform/kubernetes";
import { needsCluster, type TestCluster, testCluster } from "@flyte-ts/platform/kubernetes/testing.ts";
import { parse, stringify } from "yaml";
import { decodedName, encodedName, objectName } from "./encoded-name.ts";
import {
  AmbiguousSecretError,
  kubernetesSecretStore,
  kubernetesSecrets,
  SecretNameError,
  type SecretRef,
  type SecretScope,
} from "./index.ts";
import { type KubeSecret, secretsOf } from "./objects.ts";

const scope = { project: "flytesnacks", domain: "development" };
const anywhere = { project: "", domain: "" };
const bytes = (text: string) => Buffer.from(text);

async function room(t: TestContext) {
  const cluster = await testCluster(t, { mode: "api" });
  const { client, namespace } = cluster;
  const secrets = kubernetesSecrets({ client, namespace });
  const objects = secretsOf(client);
  return {
    cluster,
    objects,
    secrets,
    store: kubernetesSecretStore({ client, namespace }),
    async write(name: string, data: Record<string, string>, labels: Record<string, string> = {}): Promise<KubeSecret> {
      const encoded = Object.entries(data).map(([key, value]) => [key, bytes(value).toString("base64")]);
      const all = { "flyte.org/secret": "true", ...labels };
      return objects.create({ metadata: { name, namespace, labels: all }, data: Object.fromEntries(encoded) });
    },
    async read(key: string, where: SecretScope = scope, group = ""): Promise<string | undefined> {
      const [value] = await secrets.read(where, [{ key, group, version: "" }]);
      return value && Buffer.from(value).toString();
    },
  };
}

/** Somebody who may nothing. */
async function nobody(t: TestContext, cluster: TestCluster) {
  const folder = await mkdtemp(join(tmpdir(), "flyte-ts-secrets-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const config = parse(await readFile(cluster.kubeconfig, "utf8"));
  for (const { user } of config.users) user.as = "nobody";
  const kubeconfig = join(folder, "kubeconfig");
  await writeFile(kubeconfig, stringify(config));
  const client = kubernetesClient({ connection: await loadConnection({ kubeconfig }) });
  t.after(async () => client.close());
  return client;
}

test("names are those that Flyte's own tools make", () => {
  const id = { project: "p", domain: "d", name: "my_key" };
  assert.equal(encodedName(id), "u__org__flyte__domain__d__project__p__key__my_key");
  assert.equal(objectName(id), "2a76de84a27bc3094f06a7ad46fc1596");
  for (const one of [id, { ...id, project: "" }, { ...anywhere, name: "a__key__b" }]) {
    assert.deepEqual(decodedName(encodedName(one)), one);
  }
  assert.equal(decodedName("u__org__other__domain__d__project__p__key__k"), undefined);
  assert.equal(decodedName("tls.crt"), undefined);
});

test("the narrowest scope wins, a tool's secret before a person's", needsCluster("api"), async (t) => {
  const { objects, cluster, write, read, secrets } = await room(t);
  const tool = (id: { project: string; domain: string; name: string }, value: string) =>
    objects.create({
      metadata: { name: objectName(id), namespace: cluster.namespace, labels: { "app.flyte.org/managed": "true" } },
      data: { [encodedName(id)]: bytes(value).toString("base64") },
    });
  assert.equal(await read("key"), undefined);
  await write("shared", { key: "person, everywhere" });
  assert.equal(await read("key"), "person, everywhere");
  await tool({ ...anywhere, name: "key" }, "tool, everywhere");
  assert.equal(await read("key"), "tool, everywhere");
  await write("of-domain", { key: "person, domain" }, { "flyte.org/domain": "development" });
  assert.equal(await read("key"), "person, domain");
  assert.equal(await read("key", { ...scope, domain: "staging" }), "tool, everywhere");
  await tool({ ...scope, project: "", name: "key" }, "tool, domain");
  assert.equal(await read("key"), "tool, domain");
  await write("of-project", { key: "person, project" }, { "flyte.org/project": "flytesnacks" });
  assert.equal(await read("key"), "person, project");
  assert.equal(await read("key", { ...scope, project: "other" }), "tool, domain");
  await tool({ ...scope, name: "key" }, "tool, project");
  assert.equal(await read("key"), "tool, project");

  assert.equal(await read("key", scope, "shared"), "person, everywhere", "a group is a Secret's name");
  assert.equal(await read("key", { ...scope, project: "other" }, "of-project"), "tool, domain", "not valid there");
  assert.equal(await read("key", scope, "unknown"), "tool, project", "tools know no groups");

  await write("unlabelled", { hidden: "x" }, { "flyte.org/secret": "false" });
  assert.equal(await read("hidden"), undefined);
  assert.equal(await read("hidden", scope, "unlabelled"), undefined);
  assert.equal(await read("constructor"), undefined);
  assert.equal(await read("../../../configmaps"), undefined);

  const refs: SecretRef[] = ["none", "key", "key"].map((key, index) => ({
    key,
    group: index === 2 ? "shared" : "",
    version: "",
  }));
  const values = await secrets.read(scope, refs);
  assert.deepEqual(
    values.map((value) => value && Buffer.from(value).toString()),
    [undefined, "tool, project", "person, everywhere"],
    "in the order of what was asked",
  );
});

test("two that mean the same are told by name, never by value", needsCluster("api"), async (t) => {
  const { write, read } = await room(t);
  await write("first", { token: "value-one" });
  await write("second", { token: "value-two" });
  await assert.rejects(read("token"), (error: Error) => {
    assert.ok(error instanceof AmbiguousSecretError);
    assert.match(error.message, /`token` is in several Secrets of the cluster, "first" and "second"/);
    assert.doesNotMatch(error.message, /value-/);
    return true;
  });
  assert.equal(await read("token", scope, "second"), "value-two");
  await write("narrow", { token: "value-three" }, { "flyte.org/domain": "development" });
  assert.equal(await read("token"), "value-three");
});

test("what is put is read, listed without its value, and gone when deleted", needsCluster("api"), async (t) => {
  const { store, read, objects, cluster } = await room(t);
  const id = { ...scope, name: "api-key" };
  assert.equal(await store.put(id, bytes("one"), "present"), "missing");
  assert.equal(await store.put(id, bytes("one"), "absent"), "stored");
  assert.equal(await store.put(id, bytes("two"), "absent"), "exists");
  assert.equal(await read("api-key"), "one");
  assert.equal(await store.put(id, bytes("two"), "present"), "stored");
  assert.equal(await store.put({ ...id, project: "" }, bytes("domain")), "stored");
  assert.equal(await store.put({ ...anywhere, name: "api-key" }, Buffer.from([0, 255])), "stored");
  assert.equal(await read("api-key"), "two");
  assert.equal(await read("api-key", { ...scope, project: "other" }), "domain");
  await Promise.all(["a", "b", "c"].map((value) => store.put(id, bytes(value))));
  assert.match((await read("api-key")) ?? "", /^[abc]$/);

  const found = await store.find(id);
  assert.deepEqual([found?.name, found?.project, found?.domain], ["api-key", "flytesnacks", "development"]);
  assert.ok(found && Date.now() - found.createdAt.getTime() < 3_600_000);
  const names = async (options: Parameters<typeof store.list>[0]) => {
    const all: string[] = [];
    for (let token: string | undefined; ; ) {
      const page = await store.list({ ...options, ...(token === undefined ? {} : { token }) });
      all.push(...page.secrets.map((one) => `${one.project}/${one.domain}/${one.name}`));
      assert.ok(!JSON.stringify(page).includes("value"));
      token = page.next;
      if (token === undefined) return all.sort();
    }
  };
  const all = ["//api-key", "/development/api-key", "flytesnacks/development/api-key"];
  assert.deepEqual(await names({}), all);
  assert.deepEqual(await names({ limit: 1 }), all);
  assert.deepEqual(await names({ domain: "development" }), all.slice(1));
  assert.deepEqual(await names({ ...scope }), all.slice(2));
  await assert.rejects(store.list({ domain: "a,b" }), SecretNameError);

  assert.equal(await store.delete(id), true);
  assert.equal(await store.delete(id), false);
  assert.equal(await store.find(id), undefined);
  assert.equal(await read("api-key"), "domain");

  const foreign = { ...anywhere, name: "theirs" };
  const data = { other: bytes("x").toString("base64") };
  await objects.create({ metadata: { name: objectName(foreign), namespace: cluster.namespace }, data });
  await assert.rejects(store.put(foreign, bytes("mine")), /stands in the way and is none of ours/);
  assert.equal(await store.delete(foreign), false);
});

test("names and values that cannot be", needsCluster("api"), async (t) => {
  const { store } = await room(t);
  for (const [id, value, message] of [
    [{ ...anywhere, name: "" }, "", /needs a name/],
    [{ ...anywhere, project: "p", name: "k" }, "", /needs a domain too/],
    [{ ...anywhere, name: "a b" }, "", /cannot be the name of a secret/],
    [{ ...anywhere, name: "k".repeat(250) }, "", /too long .*shorten it by \d+ characters/],
    [{ ...anywhere, name: "k" }, "the-value".repeat(200_000), /1800000 bytes, more than 1000000/],
  ] as const) {
    await assert.rejects(store.put(id, bytes(value)), (error: Error) => {
      assert.ok(error instanceof SecretNameError);
      assert.match(error.message, message);
      assert.doesNotMatch(error.message, /the-value/);
      return true;
    });
  }
});

test("rights that are missing are named: verb and resource", needsCluster("api"), async (t) => {
  const { cluster } = await room(t);
  const client = await nobody(t, cluster);
  const { namespace } = cluster;
  const refused = (verb: string) => (error: Error) => {
    assert.match(error.message, new RegExp(`"nobody" cannot ${verb} resource "secrets"`));
    assert.match(
      error.message,
      new RegExp(`allow verb "${verb}" on resource "secrets" .* in a Role in "${namespace}"`),
    );
    return true;
  };
  const ref = { key: "k", group: "", version: "" };
  await assert.rejects(kubernetesSecrets({ client, namespace }).read(scope, [ref]), refused("list"));
  assert.deepEqual(await kubernetesSecrets({ client, namespace }).read(scope, []), [], "nothing asked, nothing needed");
  const store = kubernetesSecretStore({ client, namespace });
  await assert.rejects(store.put({ ...anywhere, name: "k" }, bytes("v"), "absent"), refused("create"));
  await assert.rejects(store.find({ ...anywhere, name: "k" }), refused("get"));
  await assert.rejects(store.list(), refused("list"));
});
