/** What the API server writes into a stored PodTemplate wins over nothing. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { KubeObject } from "@flyte-ts/platform/kubernetes";
import { needsCluster, testCluster } from "@flyte-ts/platform/kubernetes/testing.ts";
import type { Container, PodTemplateSpec } from "./objects.ts";
import { build, containerTask } from "./testing/built.ts";

test(
  "the cluster's configuration and the task's image decide what a PodTemplate does not name",
  needsCluster("api"),
  async (t) => {
    const { client, namespace } = await testCluster(t, { mode: "api" });
    const templates = client.resource<KubeObject & { template?: PodTemplateSpec }>({
      ...{ group: "", version: "v1", plural: "podtemplates", namespaced: true },
    });
    const stored = async (name: string, spec: object) => {
      await templates.create({
        ...{ apiVersion: "v1", kind: "PodTemplate", metadata: { name, namespace } },
        template: { spec: spec as NonNullable<PodTemplateSpec["spec"]> },
      });
      return (await templates.get(name, { namespace })).template ?? {};
    };
    const config = { imagePullPolicy: "Never", schedulerName: "packs", terminationGraceSeconds: 7 };
    const made = async (name: string, spec: object) => {
      const { pod } = build(containerTask({ image: "task:1" }, { metadata: { podTemplateName: name } }), {
        podTemplate: await stored(name, spec),
        config,
      });
      const [primary] = pod.spec.containers as [Container];
      const { schedulerName, terminationGracePeriodSeconds, containers } = pod.spec;
      const { imagePullPolicy, terminationMessagePolicy } = primary;
      return { schedulerName, terminationGracePeriodSeconds, imagePullPolicy, terminationMessagePolicy, containers };
    };

    const plain = await made("plain", {
      containers: [
        { name: "default", image: "none" },
        { name: "side", image: "side:1" },
      ],
    });
    assert.deepEqual(
      [plain.schedulerName, plain.terminationGracePeriodSeconds, plain.imagePullPolicy, plain.terminationMessagePolicy],
      ["packs", 7, "Never", "FallbackToLogsOnError"],
    );
    assert.equal(
      plain.containers.find(({ name }) => name === "side")?.imagePullPolicy,
      "IfNotPresent",
      "by its own image",
    );

    const chosen = await made("chosen", {
      schedulerName: "spreads",
      terminationGracePeriodSeconds: 60,
      containers: [{ name: "primary", image: "registry:5000/none:1.0", imagePullPolicy: "Always" }],
    });
    assert.deepEqual(
      [chosen.schedulerName, chosen.terminationGracePeriodSeconds, chosen.imagePullPolicy],
      ["spreads", 60, "Always"],
    );
  },
);
