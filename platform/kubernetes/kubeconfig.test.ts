/** Every way to a cluster that is promised, against a real API server, and every refusal with its way out. */
import assert from "node:assert/strict";
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { parse, stringify } from "yaml";
import { kubernetesClient } from "./client.ts";
import { type ConnectionOptions, KubeconfigError, loadConnection } from "./kubeconfig.ts";
import { configMaps } from "./testing/config-maps.ts";
import { needsCluster, testCluster } from "./testing.ts";

async function folderOf(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "flyte-ts-kubeconfig-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** The administrator's kubeconfig in pieces. */
async function piecesOf(kubeconfig: string) {
  const config = parse(await readFile(kubeconfig, "utf8"));
  const cluster = config.clusters[0].cluster as Record<string, string>;
  const user = config.users[0].user as Record<string, string>;
  const ca = Buffer.from(cluster["certificate-authority-data"] ?? "", "base64").toString();
  return { cluster, user, ca };
}

function kubeconfigOf(cluster: object, user: object, context: object = {}): string {
  return stringify({
    apiVersion: "v1",
    kind: "Config",
    "current-context": "c",
    clusters: [{ name: "k", cluster }],
    contexts: [{ name: "c", context: { cluster: "k", user: "u", ...context } }],
    users: [{ name: "u", user }],
  });
}

async function works(t: TestContext, options: ConnectionOptions, namespace: string): Promise<void> {
  const client = kubernetesClient({
    connection: await loadConnection(options),
    retry: { attempts: 1, firstMs: 1, maxMs: 1 },
  });
  t.after(() => client.close());
  await configMaps(client).list({ namespace });
}

test("the ways to be let in", needsCluster("api"), async (t) => {
  const { kubeconfig: given, namespace } = await testCluster(t, { mode: "api" });
  const { cluster, user, ca } = await piecesOf(given);
  const folder = await folderOf(t);
  const file = join(folder, "config");
  const use = async (t: TestContext, user: object, clusterPart: object = cluster) => {
    await writeFile(file, kubeconfigOf(clusterPart, user));
    await works(t, { kubeconfig: file, env: {} }, namespace);
  };
  const token = user.token as string;

  await t.test("a token", (t) => use(t, { token }));
  await t.test("a client certificate", async (t) => {
    const { token: _, ...certificate } = user;
    await use(t, certificate);
  });
  await t.test("files beside the kubeconfig", async (t) => {
    await writeFile(join(folder, "ca.pem"), ca);
    await writeFile(join(folder, "token"), `${token}\n`);
    await use(t, { tokenFile: "token" }, { server: cluster.server, "certificate-authority": "ca.pem" });
  });
  await t.test("no check of the server, when that is said", (t) =>
    use(t, { token }, { server: cluster.server, "insecure-skip-tls-verify": true }),
  );
  await t.test("KUBECONFIG with two files, the first of which has no users", async (t) => {
    const [first, second] = [join(folder, "first"), join(folder, "second")];
    await writeFile(
      first,
      stringify({ "current-context": "c", contexts: [{ name: "c", context: { cluster: "k", user: "u" } }] }),
    );
    await writeFile(second, kubeconfigOf(cluster, { token }));
    await works(t, { env: { KUBECONFIG: `${first}:${second}` } }, namespace);
  });
  await t.test("~/.kube/config", async (t) => {
    await mkdir(join(folder, ".kube"));
    await writeFile(join(folder, ".kube/config"), kubeconfigOf(cluster, { token }));
    await works(t, { env: { HOME: folder } }, namespace);
  });
  await t.test("the service account of a pod", async (t) => {
    for (const [name, text] of Object.entries({ token, "ca.crt": ca, namespace: "mine" }))
      await writeFile(join(folder, name), text);
    const { hostname, port } = new URL(cluster.server ?? "");
    const env = { KUBERNETES_SERVICE_HOST: hostname, KUBERNETES_SERVICE_PORT: port };
    await works(t, { env, serviceAccountDir: folder }, namespace);
    assert.equal((await loadConnection({ env, serviceAccountDir: folder })).namespace, "mine");
  });
  await t.test("a plugin: run once for many calls, again when its token is refused", async (t) => {
    const plugin = join(folder, "plugin.sh");
    const answer = (said: string) => JSON.stringify({ kind: "ExecCredential", status: { token: said } });
    const lines = [
      "#!/bin/sh",
      'echo run >> "$RUNS"',
      `if [ "$(wc -l < "$RUNS")" -gt 1 ]; then echo '${answer(token)}'; else echo '${answer("stale")}'; fi`,
    ];
    await writeFile(plugin, lines.join("\n"));
    await chmod(plugin, 0o755);
    const runs = join(folder, "runs");
    const exec = {
      apiVersion: "client.authentication.k8s.io/v1",
      command: "./plugin.sh",
      env: [{ name: "RUNS", value: runs }],
    };
    await writeFile(file, kubeconfigOf(cluster, { exec }));
    const client = kubernetesClient({ connection: await loadConnection({ kubeconfig: file }) });
    t.after(() => client.close());
    await configMaps(client).list({ namespace });
    await Promise.all([1, 2, 3].map(() => configMaps(client).list({ namespace })));
    assert.equal((await readFile(runs, "utf8")).trim().split("\n").length, 2);
  });
  await t.test("as somebody else, who may nothing: the missing rule is named", async (t) => {
    await assert.rejects(use(t, { token, as: "nobody", "as-groups": ["nobodies"] }), (error: Error) => {
      assert.match(
        error.message,
        /cannot list configmaps in namespace .*Forbidden \(403\).*"nobody" cannot list resource "configmaps"/,
      );
      assert.match(error.message, /allow verb "list" on resource "configmaps" of API group "" in a Role in /);
      return true;
    });
  });
  await t.test("a wrong token", (t) =>
    assert.rejects(use(t, { token: "wrong" }), /Unauthorized \(401\).*check the credentials/),
  );
  await t.test("a plugin that fails", (t) => {
    const exec = { apiVersion: "client.authentication.k8s.io/v1", command: "false", installHint: "Install it." };
    return assert.rejects(
      use(t, { exec }),
      /Unauthorized: there are no credentials: the credential plugin false of user "u" failed.*Install it\./,
    );
  });
  await t.test("a server with another's certificate", (t) =>
    assert.rejects(
      use(t, { token }, { server: cluster.server }),
      /Unreachable: https:.* gave no answer: .*certificate/,
    ),
  );
});

test("what cannot be used is refused with its file, its entry and a way out", async (t) => {
  const folder = await folderOf(t);
  const file = join(folder, "config");
  const refused = async (text: string, why: RegExp, options: ConnectionOptions = {}) => {
    await writeFile(file, text);
    await assert.rejects(loadConnection({ kubeconfig: file, env: {}, ...options }), (error: Error) => {
      assert.ok(error instanceof KubeconfigError);
      assert.match(error.message, why);
      return true;
    });
  };
  const cluster = { server: "https://127.0.0.1:1" };
  await refused("{", /no YAML/);
  await refused("clusters: 1", /is wrong at clusters/);
  await refused("", /no current-context; name a context/);
  await refused(kubeconfigOf(cluster, {}), /has no context "other"; there is c/, { context: "other" });
  await refused(kubeconfigOf(cluster, {}, { user: "gone" }), /has no user "gone"; there is u/);
  await refused(kubeconfigOf({ server: "here" }, {}), /the server "here" is no http\(s\) address/);
  await refused(kubeconfigOf({ ...cluster, "proxy-url": "http://p" }, {}), /proxy-url is not supported/);
  await refused(kubeconfigOf(cluster, { "auth-provider": { name: "gcp" } }), /use an exec plugin or a token/);
  await refused(
    kubeconfigOf(cluster, { "client-certificate": "no.crt", "client-key": "no.key" }),
    /names no\.(crt|key), which cannot be read/,
  );
  const nowhere = { HOME: join(folder, "nobody") };
  await assert.rejects(loadConnection({ env: nowhere }), /no Kubernetes cluster is described.*Name a kubeconfig/);
  await assert.rejects(loadConnection({ kubeconfig: join(folder, "absent") }), /cannot read the kubeconfig/);
  const pod = { KUBERNETES_SERVICE_HOST: "::1" };
  await assert.rejects(loadConnection({ env: pod, serviceAccountDir: folder }), /no usable service account.*Mount one/);
});
