/** What an executor may do in a cluster, and what it says when it may not. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { ContainerError_Kind } from "@flyte-ts/contract/flyteidl2/core/execution_pb.ts";
import { ContainerSchema } from "@flyte-ts/contract/flyteidl2/core/tasks_pb.ts";
import { type KubeObject, kubernetesClient, loadConnection } from "@flyte-ts/platform/kubernetes";
import type { TestCluster } from "@flyte-ts/platform/kubernetes/testing.ts";
import { keyOf } from "../../executor/testing/leases.ts";
import type { Pod } from "../pod/objects.ts";
import { daskKind } from "./dask/plugin.ts";
import { pyTorchKind } from "./kubeflow/plugin.ts";
import { needsOperator, operatorCluster } from "./testing/operator-cluster.ts";

const needs = await needsOperator(daskKind, pyTorchKind);
const container = { case: "container" as const, value: create(ContainerSchema, { image: "task:1", args: ["a0"] }) };
const dask = { target: container, custom: { workers: { numberOfWorkers: 1 } } };

/** Someone with no rights but those of these rules. */
const limited = (t: TestContext, rules: readonly object[]) => async (cluster: TestCluster) => {
  const { namespace, kubeconfig, client } = cluster;
  const rbac = (plural: string) =>
    client.resource<KubeObject>({ group: "rbac.authorization.k8s.io", version: "v1", plural, namespaced: true });
  const apiVersion = "rbac.authorization.k8s.io/v1";
  const metadata = { name: "some", namespace };
  await rbac("roles").create({ apiVersion, kind: "Role", metadata, ...{ rules } });
  const roleRef = { apiGroup: "rbac.authorization.k8s.io", kind: "Role", name: "some" };
  const subjects = [{ apiGroup: "rbac.authorization.k8s.io", kind: "User", name: namespace }];
  await rbac("rolebindings").create({ apiVersion, kind: "RoleBinding", metadata, ...{ roleRef, subjects } });
  const admin = await loadConnection({ kubeconfig });
  const connection = { ...admin, headers: { "impersonate-user": namespace } };
  const somebody = kubernetesClient({ connection });
  t.after(() => somebody.close());
  return somebody;
};

test(
  "rights that are missing are named, by verb and resource; nobody waits for what may not be seen",
  needs,
  async (t) => {
    const one = await operatorCluster(t, { kinds: [daskKind], client: limited(t, []) });
    const told = await one.released(one.lease("a0", daskKind, { template: dask }));
    assert.deepEqual([told.phases, told.error?.code], [["FAILED"], "Forbidden"]);
    assert.match(
      told.error?.message ?? "",
      /allow verb "create" on resource "daskjobs" of API group "kubernetes.dask.org"/,
    );
    assert.equal(told.error?.recoverability, ContainerError_Kind.NON_RECOVERABLE);
  },
);

test("the rights on one kind are enough for that kind", needs, async (t) => {
  const rules = [
    {
      apiGroups: ["kubernetes.dask.org"],
      resources: ["daskjobs"],
      verbs: ["get", "list", "watch", "create", "delete"],
    },
    { apiGroups: [""], resources: ["pods"], verbs: ["get", "list", "watch", "create", "patch", "delete"] },
    { apiGroups: [""], resources: ["secrets"], verbs: ["create", "delete"] },
    { apiGroups: [""], resources: ["events"], verbs: ["list", "watch"] },
  ];
  const one = await operatorCluster(t, { kinds: [pyTorchKind, daskKind], client: limited(t, rules) });
  const left = one.lease("left", daskKind, { template: dask });
  await one.job(daskKind, left);
  const lease = one.lease("a0", daskKind, { template: dask });
  const { metadata } = await one.job(daskKind, lease);
  await one.says(daskKind, lease, { jobStatus: "Running" });
  const { spec } = (await one.job(daskKind, lease)).spec.job as { spec: Pod["spec"] };
  await one.pod(`${metadata.name}-runner`, { metadata, spec });
  await one.phase(lease, "RUNNING");
  one.plane.abort(lease);
  assert.equal((await one.released(lease)).phases.at(-1), "ABORTED");
  assert.deepEqual(await one.podNames(lease), []);
  // Leftovers of this kind are found, whatever may not be seen of the other.
  one.plane.withdraw(keyOf(left));
  await one.store.delete(keyOf(left));
  await one.restart();
  await one.isGone(daskKind, left);
});
