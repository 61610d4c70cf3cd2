/** What the executor's account may do in a real cluster: the calls that the executor makes, and no others. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import type { KubernetesClient } from "@flyte-ts/platform/kubernetes";
import { needsCluster, type TestCluster, testCluster } from "@flyte-ts/platform/kubernetes/testing.ts";
import { stringify } from "yaml";
import { asAccount, mayI, type Question } from "../support/account.ts";
import { fileOf, least, manifestsOf, needsHelm, rendered, type Values } from "../support/helm.ts";

const needs = { skip: needsHelm().skip || needsCluster("control-plane").skip };
const account = "test-flyte-ts-executor";
const ofRights = ["ServiceAccount", "Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"];

/** The release's namespace and the tasks': two of a test's own. */
let own: TestCluster;
let tasks: TestCluster;
if (!needs.skip) {
  own = await testCluster({ after }, { mode: "control-plane" });
  tasks = await testCluster({ after }, { mode: "control-plane" });
}

/** The calls, from platform/kubernetes, data-plane/task-action, data-plane/plugins and flyted. */
const calls = (namespace: string): Question[] => [
  ...verbs({ resource: "leases", group: "coordination.k8s.io", namespace }, "create"),
  ...verbs(
    { resource: "leases", group: "coordination.k8s.io", namespace, name: "flyte-ts-executor-main" },
    "get",
    "update",
  ),
  ...taskCalls(namespace),
  ...verbs({ resource: "secrets", namespace }, "get", "list"),
  ...verbs({ resource: "namespaces", namespace, name: namespace }, "get"),
];
const taskCalls = (namespace: string): Question[] => [
  ...verbs({ resource: "taskactions", group: "flyte.org", namespace }, "get", "list", "watch", "create"),
  ...verbs({ resource: "taskactions", group: "flyte.org", namespace }, "update", "patch", "delete"),
  ...verbs({ resource: "taskactions", group: "flyte.org", subresource: "status", namespace }, "update", "patch"),
  ...verbs({ resource: "taskactions", group: "flyte.org", subresource: "finalizers", namespace }, "update"),
  ...verbs({ resource: "pods", namespace }, "get", "list", "watch", "create", "patch", "delete"),
  ...verbs({ resource: "pods", subresource: "log", namespace }, "get"),
  ...verbs({ resource: "secrets", namespace }, "create", "delete"),
  ...verbs({ resource: "events", namespace }, "list", "watch"),
  ...verbs({ resource: "podtemplates", namespace }, "get"),
];

test("exactly the executor's calls are allowed where tasks are", needs, async (t) => {
  const client = await installed(t, {});
  await all(client, calls(tasks.namespace), true);
  assert.deepEqual(
    await rulesOf(client, tasks.namespace),
    [
      "* flyte.org/taskactions/finalizers: update",
      "* flyte.org/taskactions/status: patch update",
      "* flyte.org/taskactions: create delete get list patch update watch",
      "* /events: list watch",
      "* /pods/log: get",
      "* /pods: create delete get list patch watch",
      "* /podtemplates: get",
      "* /secrets: create delete",
      "* /secrets: get list",
      "* coordination.k8s.io/leases: create",
      `${tasks.namespace} /namespaces: get`,
      "flyte-ts-executor-main coordination.k8s.io/leases: get update",
    ].sort(),
  );
});

test("nothing is allowed in the release's own namespace, in others and in the cluster", needs, async (t) => {
  const client = await installed(t, {});
  assert.deepEqual(await rulesOf(client, own.namespace), []);
  for (const namespace of [own.namespace, "kube-system", "default"]) await all(client, calls(namespace), false);
  await all(client, taskCalls(""), false);
  const { namespace } = tasks;
  await all(
    client,
    [
      ...verbs({ resource: "nodes" }, "get", "list", "watch"),
      ...verbs({ resource: "namespaces" }, "list", "watch", "create", "delete"),
      ...verbs({ resource: "secrets", namespace }, "watch", "update", "patch"),
      ...verbs({ resource: "pods", subresource: "exec", namespace }, "get", "create"),
      ...verbs({ resource: "serviceaccounts", subresource: "token", namespace }, "create"),
      ...verbs({ resource: "leases", group: "coordination.k8s.io", namespace, name: "another" }, "get", "update"),
      ...verbs({ resource: "roles", group: "rbac.authorization.k8s.io", namespace }, "get", "create", "bind"),
      ...verbs({ resource: "rayjobs", group: "ray.io", namespace }, "get", "create"),
    ],
    false,
  );
});

test("operators' jobs, where they are turned on", needs, async (t) => {
  const jobOperators = { jobset: true, ray: true, spark: true, dask: true, kubeflow: true };
  const client = await installed(t, { jobOperators });
  const { namespace } = tasks;
  const jobs: [string, string][] = [
    ["jobset.x-k8s.io", "jobsets"],
    ["ray.io", "rayjobs"],
    ["sparkoperator.k8s.io", "sparkapplications"],
    ["kubernetes.dask.org", "daskjobs"],
    ["kubeflow.org", "pytorchjobs"],
    ["kubeflow.org", "tfjobs"],
    ["kubeflow.org", "mpijobs"],
  ];
  for (const [group, resource] of jobs)
    await all(client, verbs({ group, resource, namespace }, "get", "list", "watch", "create", "delete"), true);
});

test("where namespaces are made by template: task rights in all of them, no more", needs, async (t) => {
  const client = await installed(t, { tasks: { namespace: tasks.namespace, mode: "template" } });
  await all(client, taskCalls("project-development"), true);
  await all(client, taskCalls(""), true);
  const made = ["namespaces", "resourcequotas", "serviceaccounts"];
  for (const resource of made) await all(client, verbs({ resource }, "get", "create", "patch"), true);
  await all(
    client,
    [
      ...verbs({ resource: "namespaces" }, "delete", "list"),
      ...verbs({ resource: "nodes" }, "get", "list"),
      ...verbs({ resource: "secrets" }, "get", "list", "watch"),
      ...verbs({ resource: "leases", group: "coordination.k8s.io" }, "get", "create"),
    ],
    false,
  );
});

/** The account's own client, in a cluster that has this part of the chart. */
async function installed(t: Parameters<typeof fileOf>[0], executor: Values): Promise<KubernetesClient> {
  const values = { ...least, executor: { tasks: { namespace: tasks.namespace }, ...executor } };
  const manifests = manifestsOf(await rendered(t, values, { namespace: own.namespace }));
  const rights = manifests.filter(({ kind }) => ofRights.includes(kind));
  // Hooks run in order: this one needs the file that the next one removes.
  const made: { file?: string } = {};
  t.after(async () => {
    if (made.file)
      await own.kubectl("delete", "-f", made.file, "--namespace", "", "--wait=false", "--ignore-not-found");
  });
  made.file = await fileOf(t, rights.map((one) => stringify(one)).join("---\n"));
  await own.kubectl("apply", "-f", made.file, "--namespace", "");
  return asAccount(t, own, account);
}

function verbs(about: Omit<Question, "verb">, ...names: string[]): Question[] {
  return names.map((verb) => ({ ...about, verb }));
}

async function all(client: KubernetesClient, questions: readonly Question[], expected: boolean): Promise<void> {
  const wrong: Question[] = [];
  for (const question of questions) if ((await mayI(client, question)) !== expected) wrong.push(question);
  assert.deepEqual(wrong, [], `these should be ${expected ? "allowed" : "refused"}`);
}

/** All that the account may do in a namespace, beyond what everybody may. */
async function rulesOf(client: KubernetesClient, namespace: string): Promise<string[]> {
  const review = await client.request<{
    status: {
      resourceRules: { verbs: string[]; apiGroups: string[]; resources: string[]; resourceNames?: string[] }[];
    };
  }>({
    method: "POST",
    path: "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
    body: { apiVersion: "authorization.k8s.io/v1", kind: "SelfSubjectRulesReview", spec: { namespace } },
  });
  return review.status.resourceRules
    .filter(({ apiGroups }) => !apiGroups.some((group) => /^(authorization|authentication)\.k8s\.io$/.test(group)))
    .flatMap(({ verbs, apiGroups, resources, resourceNames = ["*"] }) =>
      apiGroups.flatMap((group) =>
        resources.map((resource) => `${resourceNames.join(",")} ${group}/${resource}: ${[...verbs].sort().join(" ")}`),
      ),
    )
    .sort();
}
