/** A real API server takes everything that the chart makes, and knows every field of it. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { needsCluster, type TestCluster, testCluster } from "@flyte-ts/platform/kubernetes/testing.ts";
import { fileOf, least, manifestsOf, needsHelm, rendered, type Values } from "../support/helm.ts";

const needs = { skip: needsHelm().skip || needsCluster("control-plane").skip };
/** Policies keep no one out here; they only have to be well formed. */
const peers = [{ namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": "clients" } } }];

let own: TestCluster;
let tasks: TestCluster;
if (!needs.skip) {
  own = await testCluster({ after }, { mode: "control-plane" });
  tasks = await testCluster({ after }, { mode: "control-plane" });
}

const variants: Record<string, Values> = {
  "as it comes": {},
  "with everything": {
    image: { repository: "localhost/flyte-ts", digest: `sha256:${"a".repeat(64)}`, pullSecrets: ["registry"] },
    objectStore: { url: "s3://b", endpoint: "http://s3:9000", region: "x", accessKeyId: "a", secretAccessKey: "b" },
    controlPlane: {
      replicas: 3,
      config: { projects: ["one"] },
      service: { type: "LoadBalancer", port: 80, annotations: { a: "b" }, appProtocol: "kubernetes.io/h2c" },
      ingress: { enabled: true, className: "nginx", host: "flyte.example", tlsSecret: "tls", annotations: { a: "b" } },
      networkPolicy: { from: peers, egress: [{ to: peers }] },
      podAnnotations: { a: "b" },
      podLabels: { a: "b" },
      nodeSelector: { a: "b" },
      tolerations: [{ operator: "Exists" }],
      affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [{ topologyKey: "zone" }] } },
      topologySpreadConstraints: [],
      priorityClassName: "high",
      serviceAccount: { name: "control", annotations: { a: "b" } },
      extraEnv: [{ name: "NODE_EXTRA_CA_CERTS", value: "/ca/ca.crt" }],
      extraVolumes: [{ name: "ca", configMap: { name: "ca" } }],
      extraVolumeMounts: [{ name: "ca", mountPath: "/ca", readOnly: true }],
    },
    executor: {
      taskEndpoint: "http://flyte.example",
      networkPolicy: { from: peers, egress: [{ to: peers }] },
      jobOperators: { jobset: true, ray: true, spark: true, dask: true, kubeflow: true },
      podAnnotations: { a: "b" },
      podLabels: { a: "b" },
      extraEnv: [{ name: "A", value: "b" }],
      extraVolumes: [{ name: "ca", configMap: { name: "ca" } }],
      extraVolumeMounts: [{ name: "ca", mountPath: "/ca" }],
    },
  },
  "with namespaces by template": { executor: { tasks: { mode: "template" } } },
  "with a control plane elsewhere": {
    controlPlane: { enabled: false },
    executor: { controlPlaneUrl: "http://flyte.example" },
  },
};

for (const [how, values] of Object.entries(variants)) {
  test(`the chart ${how}`, needs, async (t) => {
    const executor = values.executor as { tasks?: object } | undefined;
    const here = { executor: { ...executor, tasks: { ...executor?.tasks, namespace: tasks.namespace } } };
    const text = await rendered(t, { ...least, ...values, ...here }, { namespace: own.namespace });
    const file = await fileOf(t, text);
    const command = ["apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict"];
    const said = await own.kubectl(...command, "-o", "name", "-f", file, "--namespace", "");
    assert.equal(said.trim().split("\n").length, manifestsOf(text).length);
  });
}

test("a field that nobody knows would be seen", needs, async (t) => {
  const text = await rendered(t, least, { namespace: own.namespace });
  const spoiled = text.replace("enableServiceLinks", "enableServices");
  const file = await fileOf(t, spoiled.replaceAll(`${own.namespace}-tasks`, tasks.namespace));
  const command = ["apply", "--server-side", "--force-conflicts", "--dry-run=server", "--validate=strict"];
  await assert.rejects(own.kubectl(...command, "-f", file, "--namespace", ""), /enableServices/);
});
