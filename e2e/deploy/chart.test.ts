/** The chart as Helm makes it: what it needs, what it refuses, and what its pods may do. */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { parse } from "yaml";
import {
  chart,
  helm,
  least,
  type Manifest,
  needsHelm,
  refusal,
  render,
  rendered,
  valuesFile,
} from "../support/helm.ts";

const needs = needsHelm();
const oneNode = ["--values", join(chart, "values-one-node.yaml")];
const find = (all: readonly Manifest[], kind: string, name: string): Manifest => {
  const found = all.find((one) => one.kind === kind && one.metadata.name === name);
  assert.ok(found, `no ${kind} ${name} among ${all.map((one) => `${one.kind}/${one.metadata.name}`).join(", ")}`);
  return found;
};
const kinds = (all: readonly Manifest[]) => new Set(all.map(({ kind }) => kind));
const configOf = (all: readonly Manifest[], part: "control-plane" | "executor") => {
  const texts = Object.values<string>(find(all, "ConfigMap", `test-flyte-ts-${part}`).data);
  return parse(texts[0] ?? "");
};

test("lint has nothing to say", needs, async (t) => {
  for (const values of [least, { ...least, executor: { tasks: { mode: "template" } } }]) {
    await helm(t, "lint", "--strict", chart, "--values", await valuesFile(t, values));
    await helm(t, "lint", "--strict", chart, ...oneNode, "--values", await valuesFile(t, values));
  }
});

test("what is missing is named with what to do", needs, async (t) => {
  const { image, database, objectStore } = least;
  assert.match(await refusal(t, { database, objectStore }), /image\.repository is needed/);
  assert.match(await refusal(t, { image, objectStore }), /give database\.existingSecret or database\.url/);
  assert.match(await refusal(t, { image, database }), /give objectStore\.url/);
  assert.match(await refusal(t, { image, controlPlane: { enabled: false } }), /needs executor\.controlPlaneUrl/);
  const half = { ...least, objectStore: { url: "s3://bucket", accessKeyId: "a" } };
  assert.match(await refusal(t, half), /accessKeyId and objectStore\.secretAccessKey belong together/);
  assert.match(await refusal(t, { ...least, controlPlane: { ingress: { enabled: true } } }), /ingress\.host is needed/);
});

test("values that the schema does not know are refused", needs, async (t) => {
  assert.match(await refusal(t, { ...least, executor: { tasks: { namspace: "x" } } }), /namspace/);
  assert.match(
    await refusal(t, { ...least, objectStore: { url: "gs://bucket" } }),
    /objectStore\/url|objectStore\.url/,
  );
  assert.match(await refusal(t, { ...least, executor: { tasks: { mode: "many" } } }), /mode/);
});

test("every pod is unprivileged, bounded and probed", needs, async (t) => {
  for (const objects of [await render(t, {}), await render(t, {}, { args: oneNode })]) {
    const deployments = objects.filter(({ kind }) => kind === "Deployment");
    assert.equal(deployments.length, 2);
    for (const { spec: deployment } of deployments) {
      const pod = deployment.template.spec;
      assert.equal(pod.enableServiceLinks, false);
      assert.equal(pod.securityContext.runAsNonRoot, true);
      assert.deepEqual(pod.securityContext.seccompProfile, { type: "RuntimeDefault" });
      for (const container of pod.containers) {
        assert.deepEqual(container.securityContext, {
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ["ALL"] },
        });
        assert.ok(container.resources.requests.cpu && container.resources.limits.memory);
        const ports = container.ports.map(({ name }: { name: string }) => name);
        for (const probe of [container.startupProbe, container.livenessProbe, container.readinessProbe])
          assert.ok(ports.includes(probe.httpGet.port));
        assert.equal(container.readinessProbe.httpGet.path, "/readyz");
        assert.equal(container.livenessProbe.httpGet.path, "/healthz");
      }
    }
    const [account] = deployments.filter(({ metadata }) => metadata.name.endsWith("control-plane"));
    assert.equal(account?.spec.template.spec.automountServiceAccountToken, false);
  }
});

test("a stop leaves time for what goes on", needs, async (t) => {
  const objects = await render(t, { controlPlane: { drainSeconds: 50.5 }, executor: { drainSeconds: 0 } });
  const pod = find(objects, "Deployment", "test-flyte-ts-control-plane").spec.template.spec;
  assert.ok(pod.terminationGracePeriodSeconds >= 50.5 + pod.containers[0].lifecycle.preStop.sleep.seconds);
  assert.equal(configOf(objects, "control-plane").drainSeconds, 50.5);
  assert.equal(configOf(objects, "executor").drainSeconds, 0);
});

test("selectors meet the pods of their own part and no others", needs, async (t) => {
  const objects = await render(t, {});
  for (const part of ["control-plane", "executor"]) {
    const name = `test-flyte-ts-${part}`;
    const other = find(objects, "Deployment", `test-flyte-ts-${part === "executor" ? "control-plane" : "executor"}`);
    const own = find(objects, "Deployment", name);
    const selectors = [
      own.spec.selector.matchLabels,
      find(objects, "PodDisruptionBudget", name).spec.selector.matchLabels,
      find(objects, "NetworkPolicy", name).spec.podSelector.matchLabels,
      ...(part === "control-plane" ? [find(objects, "Service", name).spec.selector] : []),
      ...own.spec.template.spec.topologySpreadConstraints.map(
        ({ labelSelector }: { labelSelector: { matchLabels: object } }) => labelSelector.matchLabels,
      ),
    ];
    for (const selector of selectors) {
      assert.ok(matches(selector, own.spec.template.metadata.labels));
      assert.ok(!matches(selector, other.spec.template.metadata.labels));
    }
  }
});

test("what is secret stands in Secrets only, and ours are made only when none is named", needs, async (t) => {
  const objectStore = { url: "s3://bucket", accessKeyId: "hush-id", secretAccessKey: "hush-key" };
  const objects = await render(t, { objectStore });
  const others = objects.filter(({ kind }) => kind !== "Secret");
  assert.doesNotMatch(JSON.stringify(others), /hush/);
  assert.equal(objects.length - others.length, 2);
  const named = {
    database: { existingSecret: "db", key: "uri" },
    objectStore: { url: "s3://bucket", existingSecret: "s3" },
  };
  const without = await render(t, named);
  assert.ok(!kinds(without).has("Secret"));
  const { env } = find(without, "Deployment", "test-flyte-ts-control-plane").spec.template.spec.containers[0];
  const refs = env.flatMap((one: { valueFrom?: { secretKeyRef?: object } }) => one.valueFrom?.secretKeyRef ?? []);
  assert.deepEqual(refs, [
    { name: "db", key: "uri" },
    { name: "s3", key: "accessKeyId" },
    { name: "s3", key: "secretAccessKey" },
  ]);
  assert.doesNotMatch(JSON.stringify(await render(t, {})), /ACCESS_KEY/, "without keys the usual sources of AWS count");
});

test("people's configuration wins over what the chart knows", needs, async (t) => {
  const objects = await render(t, {
    controlPlane: { config: { host: "::", projects: ["one"], telemetry: { otlpEndpoint: "http://otel:4318" } } },
    executor: { config: { slots: 7, pods: { serviceAccount: "tasks" }, labels: { gpu: "yes" } } },
  });
  const control = configOf(objects, "control-plane");
  assert.deepEqual([control.host, control.port, control.projects], ["::", 8642, ["one"]]);
  const executor = configOf(objects, "executor");
  assert.equal(executor.slots, 7);
  assert.deepEqual(executor.pods, { copilotImage: "localhost/flyte-ts:0.1.0", serviceAccount: "tasks" });
  assert.equal(executor.controlPlane, "http://test-flyte-ts-control-plane.flyte.svc.cluster.local:8642");
  assert.equal(executor.namespace, "flyte-tasks");
});

test("a pod starts anew when what it reads at its start has changed", needs, async (t) => {
  const sums = async (values: object) =>
    (await render(t, { ...values }))
      .filter(({ kind }) => kind === "Deployment")
      .map(({ spec }) => spec.template.metadata.annotations["checksum/config"]);
  const before = await sums({});
  assert.deepEqual(await sums({}), before);
  const [control, executor] = await sums({ controlPlane: { config: { projects: ["other"] } } });
  assert.notEqual(control, before[0]);
  assert.equal(executor, before[1]);
  for (const [index, sum] of (await sums({ database: { url: "postgres://elsewhere/flyte" } })).entries())
    assert.notEqual(sum, before[index]);
});

test("rights in one namespace; in the whole cluster only where namespaces are made", needs, async (t) => {
  const single = await render(t, {});
  assert.ok(!kinds(single).has("ClusterRole") && !kinds(single).has("ClusterRoleBinding"));
  const role = find(single, "Role", "test-flyte-ts-executor");
  assert.equal(role.metadata.namespace, "flyte-tasks");
  assert.doesNotMatch(JSON.stringify(role.rules), /"\*"|deletecollection|escalate|impersonate|bind/);
  const template = await render(t, { executor: { tasks: { mode: "template" } } });
  const everywhere = find(template, "ClusterRole", "flyte-test-flyte-ts-executor");
  assert.doesNotMatch(JSON.stringify(everywhere.rules), /"\*"|deletecollection|escalate|impersonate|bind/);
  const groups = (all: Manifest) => all.rules.flatMap((rule: { apiGroups: string[] }) => rule.apiGroups);
  assert.ok(!groups(role).includes("ray.io"));
  const jobs = await render(t, { executor: { jobOperators: { ray: true, kubeflow: true } } });
  const more = groups(find(jobs, "Role", "test-flyte-ts-executor"));
  assert.ok(more.includes("ray.io") && more.includes("kubeflow.org") && !more.includes("jobset.x-k8s.io"));
  assert.ok(!kinds(await render(t, { executor: { rbac: { create: false } } })).has("Role"));
});

test("half a chart: an executor for a control plane elsewhere, a control plane alone", needs, async (t) => {
  const executor = await render(t, {
    controlPlane: { enabled: false },
    database: {},
    objectStore: {},
    executor: { controlPlaneUrl: "https://flyte.example" },
  });
  assert.deepEqual(
    executor.filter(({ kind }) => kind === "Deployment").map(({ metadata }) => metadata.name),
    ["test-flyte-ts-executor"],
  );
  assert.ok(!kinds(executor).has("Service") && !kinds(executor).has("Secret"));
  assert.equal(configOf(executor, "executor").objectStore, undefined, "the control plane says where payloads are");
  const control = await render(t, { executor: { enabled: false }, crd: { install: false } });
  assert.ok(!kinds(control).has("Role") && !kinds(control).has("CustomResourceDefinition"));
  assert.ok(!kinds(control).has("Namespace"));
});

test("the resource definition is the one in deploy/crd, and stays when a release goes", needs, async (t) => {
  const objects = await render(t, {});
  const { metadata, spec } = find(objects, "CustomResourceDefinition", "taskactions.flyte.org");
  const file = fileURLToPath(new URL("../../deploy/crd/taskactions.yaml", import.meta.url));
  assert.deepEqual(spec, parse(await readFile(file, "utf8"), { maxAliasCount: -1 }).spec);
  assert.equal(metadata.annotations?.["helm.sh/resource-policy"], "keep");
  const kept = find(objects, "Namespace", "flyte-tasks");
  assert.equal(kept.metadata.annotations?.["helm.sh/resource-policy"], "keep");
});

test("one node: one replica of each, which may be drained", needs, async (t) => {
  const objects = await render(t, {}, { args: oneNode });
  for (const { kind, spec } of objects) {
    if (kind === "Deployment") assert.equal(spec.replicas, 1);
    assert.notEqual(kind, "PodDisruptionBudget");
  }
});

test("notes tell of what keeps others out", needs, async (t) => {
  const file = await valuesFile(t, { ...least, executor: { tasks: { namespace: "flyte" } } });
  const args = ["install", "test", chart, "--dry-run=client", "--namespace", "flyte", "--values", file];
  const notes = await helm(t, ...args);
  assert.match(notes, /no login yet/);
  assert.match(notes, /executor\.tasks\.namespace/);
  assert.doesNotMatch(await rendered(t, least), /no login yet/);
});

function matches(selector: Record<string, string>, labels: Record<string, string>): boolean {
  const pairs = Object.entries(selector);
  return pairs.length > 0 && pairs.every(([name, value]) => labels[name] === value);
}
