/** What people do to the cluster's objects, and what the cluster refuses: each with its own end, and words that help. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { ErrorInfo_Kind } from "@flyte-ts/contract/flyteidl2/workflow/run_definition_pb.ts";
import { needsCluster, testCluster } from "@flyte-ts/platform/kubernetes/testing.ts";
import { allow, grant, kubeconfigOf } from "../support/account.ts";
import { startExecutor } from "../support/executor.ts";
import { type KubernetesStage, setKubernetesStage } from "../support/kubernetes-stage.ts";
import { type PodTask, podTask, runOf, sharing } from "../support/pod-runs.ts";
import { detailsOf, ended, errorOf, phaseOf } from "../support/runs.ts";
import { waitFor } from "../support/wait.ts";

const needs = needsCluster("node");
let stage: KubernetesStage;
if (!needs.skip) {
  stage = await setKubernetesStage(
    { after },
    {
      executor: {
        config: {
          // All that name no other queue.
          queues: ["default"],
          pods: { imagePullPolicy: "IfNotPresent", graces: { imagePullMs: 500, quotaRetryMs: 300 } },
        },
      },
    },
  );
}

describe("on one server", { ...needs, concurrency: true }, () => {
  test("a pod that somebody deletes is a system failure, and the run succeeds all the same", async () => {
    const run = await waiting("deleted");
    await running(run);
    const [pod = ""] = await stage.names("pods", `run=${run}`);
    await stage.cluster.kubectl("delete", "pod", pod, "--wait=false");
    await waitFor(async () => (await detailsOf(stage.wire, run)).attempts.length === 2, { what: "a second attempt" });
    await go("deleted");
    assert.equal(await ended(stage.wire, run), "SUCCEEDED");
    const { attempts } = await detailsOf(stage.wire, run);
    assert.equal(attempts.length, 2);
    assert.equal(attempts[0]?.errorInfo?.kind, ErrorInfo_Kind.SYSTEM);
    assert.equal(attempts[0]?.errorInfo?.code, "ResourceDeletedExternally");
    assert.match(attempts[0]?.errorInfo?.message ?? "", new RegExp(`the pod ${pod} was deleted by someone else`));
  });

  test("a TaskAction that somebody deletes is an abort, with the reason, and takes its pod with it", async () => {
    const run = await waiting("aborted");
    await running(run);
    const [name = ""] = await stage.names("taskactions", `flyte.org/run=${run}`);
    // Returns when the object is gone, which is not before its pod.
    await stage.cluster.kubectl("delete", "taskaction", name);
    assert.deepEqual(await stage.names("pods", `run=${run}`), []);
    assert.equal(await ended(stage.wire, run), "ABORTED");
    const { result, attempts } = await detailsOf(stage.wire, run);
    assert.equal(result.case, "abortInfo");
    assert.match(result.value.reason, new RegExp(`TaskAction ${stage.cluster.namespace}/${name} was deleted`));
    assert.equal(attempts.length, 1);
  });

  test("a TaskAction that somebody makes unreadable fails its action, and names the field", async () => {
    const run = await waiting("unreadable");
    await running(run);
    const [name = ""] = await stage.names("taskactions", `flyte.org/run=${run}`);
    const spec = { taskTemplate: Buffer.from([0xff, 0xff]).toString("base64") };
    await stage.cluster.kubectl("patch", "taskaction", name, "--type", "merge", "-p", JSON.stringify({ spec }));
    assert.equal(await ended(stage.wire, run), "FAILED");
    const error = await errorOf(stage.wire, run);
    assert.equal(error?.code, "InvalidSpec");
    assert.match(error?.message ?? "", new RegExp(`${name} cannot be read, somebody changed it: spec.taskTemplate`));
    await waitFor(async () => (await stage.names("pods", `run=${run}`)).length === 0, { what: "the end of its pod" });
  });

  test("a full quota is waited for, which is told, until there is room", async () => {
    const quota = (size: string) => ({
      apiVersion: "v1",
      kind: "ResourceQuota",
      metadata: { name: "scratch", namespace: stage.cluster.namespace },
      spec: { hard: { "requests.ephemeral-storage": size } },
    });
    const quotas = stage.cluster.client.resource<ReturnType<typeof quota>>({
      group: "",
      version: "v1",
      plural: "resourcequotas",
      namespaced: true,
    });
    await quotas.create(quota("50Mi"));
    const first = await waiting("first", scratch("40Mi"));
    await running(first);
    const later = await waiting("second", scratch("40Mi"));
    await waitFor(async () => (await phaseOf(stage.wire, later)) === "WAITING_FOR_RESOURCES", { what: "the wait" });
    const { attempts } = await detailsOf(stage.wire, later);
    const told = attempts[0]?.clusterEvents.find(({ reason }) => reason === "ExceededQuota");
    assert.match(told?.message ?? "", /exceeded quota: scratch, requested: requests.ephemeral-storage=40Mi/);
    await quotas.patch("scratch", { spec: quota("90Mi").spec }, { namespace: stage.cluster.namespace });
    await running(later);
    const never = await waiting("never", scratch("100Mi"));
    assert.equal(await ended(stage.wire, never), "FAILED");
    const error = await errorOf(stage.wire, never);
    assert.equal(error?.kind, "USER");
    assert.match(error?.message ?? "", /it will never fit: requests.ephemeral-storage=100Mi .* whole quota of 90Mi/);
    for (const name of ["first", "second"]) await go(name);
    for (const run of [first, later]) assert.equal(await ended(stage.wire, run), "SUCCEEDED");
    assert.equal((await detailsOf(stage.wire, later)).attempts.length, 1);
  });

  test("a pod that Kubernetes does not accept is the user's error, in Kubernetes' words", async () => {
    const run = await runOf(stage.wire, podTask("true", { container: { ports: [{ containerPort: 99999 }] } }));
    assert.equal(await ended(stage.wire, run), "FAILED");
    const error = await errorOf(stage.wire, run);
    assert.equal(error?.kind, "USER");
    assert.equal(error?.code, "InvalidResource");
    assert.match(error?.message ?? "", /spec.containers\[0\].ports\[0\].containerPort: Invalid value: 99999/);
  });

  test("a pod that is too large for the cluster is the user's error, and says what to do", async () => {
    const run = await runOf(stage.wire, podTask(`: ${"x".repeat(2_000_000)}`));
    assert.equal(await ended(stage.wire, run), "FAILED");
    const error = await errorOf(stage.wire, run);
    assert.equal(error?.kind, "USER");
    assert.equal(error?.code, "EntityTooLarge");
    assert.match(error?.message ?? "", /too large.*make the task's command line, variables or annotations smaller/);
  });

  test("an image that does not exist is the user's error, and names it", async (t) => {
    // A registry without any image; the kubelet speaks plain HTTP to one on this machine.
    const registry = createServer((request, response) => {
      response.writeHead(request.url === "/v2/" ? 200 : 404, { "content-type": "application/json" });
      response.end('{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}');
    }).listen(0, "127.0.0.1");
    await once(registry, "listening");
    t.after(() => registry.close());
    const image = `127.0.0.1:${(registry.address() as { port: number }).port}/team/nothing:1`;
    const run = await runOf(stage.wire, podTask("true", { container: { image } }));
    assert.equal(await ended(stage.wire, run), "FAILED");
    const error = await errorOf(stage.wire, run);
    assert.equal(error?.kind, "USER");
    assert.match(error?.code ?? "", /^(ErrImagePull|ImagePullBackOff)$/);
    assert.match(error?.message ?? "", new RegExp(`not found.*check that the image "${image}" exists`));
  });

  test("an account that lacks a right: the message names verb and resource, to the operator and to the user", async (t) => {
    const cluster = await testCluster(t, { mode: "node" });
    const { namespace } = cluster;
    await cluster.kubectl("create", "serviceaccount", "narrow");
    const executor = await startExecutor(t, {
      cluster: { ...cluster, kubeconfig: await kubeconfigOf(t, cluster, "narrow") },
      name: "narrow",
      controlPlane: stage.server.url,
      config: { queues: ["narrow"] },
    });
    const missing = (verb: string, resource: string, group: string) =>
      new RegExp(`allow verb "${verb}" on resource "${resource}" of API group "${group}" in a Role in "${namespace}"`);
    await waitFor(
      async () => missing("get", "leases", "coordination.k8s.io").test((await executor.log()).replaceAll("\\", "")),
      { what: "words on the Lease", explain: () => executor.log() },
    );
    await grant(cluster, "narrow", [
      ...allow(["coordination.k8s.io"], ["leases"], ["*"]),
      ...allow(["flyte.org"], ["taskactions", "taskactions/status", "taskactions/finalizers"], ["*"]),
      ...allow([""], ["namespaces", "podtemplates"], ["get"]),
      ...allow([""], ["pods", "events"], ["get", "list", "watch", "delete"]),
      ...allow([""], ["secrets"], ["get", "list", "create", "delete"]),
    ]);
    // Until it is known, other clusters take what names its queue.
    await waitFor(async () => /^narrow /m.test(await stage.clusterCommand("list")), { what: "the cluster" });
    const run = await runOf(stage.wire, podTask("true"), "narrow");
    assert.equal(await ended(stage.wire, run), "FAILED");
    const error = await errorOf(stage.wire, run);
    assert.match(error?.message ?? "", missing("create", "pods", ""));
    assert.equal(error?.kind, "SYSTEM");
    await grant(cluster, "narrow", allow([""], ["pods"], ["create"]));
    const again = await runOf(stage.wire, podTask("true"), "narrow");
    assert.equal(await ended(stage.wire, again), "SUCCEEDED");
  });
});

/** A run whose pod waits for the word of `go`. */
function waiting(name: string, parts: PodTask = {}): Promise<string> {
  const { spec, container } = sharing(stage.shared);
  const script = `trap 'exit 143' TERM; until [ -e ${join(stage.shared, name)} ]; do sleep 0.2; done`;
  return runOf(
    stage.wire,
    podTask(script, { name, spec: spec ?? {}, container: { ...container, ...parts.container } }),
  );
}

const go = (name: string) => writeFile(join(stage.shared, name), "");

const running = (run: string) =>
  waitFor(async () => (await phaseOf(stage.wire, run)) === "RUNNING", { what: `run ${run}, to work` });

const scratch = (size: string): PodTask => ({
  container: { resources: { requests: { "ephemeral-storage": size }, limits: { "ephemeral-storage": size } } },
});
