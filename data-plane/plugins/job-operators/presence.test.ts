/** Operators come and go: what an executor tells the control plane about the kinds of job it can run. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { ContainerSchema } from "@flyte-ts/contract/flyteidl2/core/tasks_pb.ts";
import type { KubeObject } from "@flyte-ts/platform/kubernetes";
import { needsCluster } from "@flyte-ts/platform/kubernetes/testing.ts";
import { daskKind } from "./dask/plugin.ts";
import type { JobKind } from "./index.ts";
import { operatorCluster } from "./testing/operator-cluster.ts";

const kindOf = (name: string): JobKind => ({
  ...daskKind,
  taskTypes: [name],
  kind: "PresentJob",
  resource: { group: `${name}.presence.example`, version: "v1", plural: "presentjobs" },
});

const crdOf = ({ kind, resource: { group, version, plural } }: JobKind) => ({
  apiVersion: "apiextensions.k8s.io/v1",
  kind: "CustomResourceDefinition",
  metadata: { name: `${plural}.${group}` },
  spec: {
    group,
    scope: "Namespaced",
    names: { kind, plural, singular: kind.toLowerCase() },
    versions: [
      {
        name: version,
        served: true,
        storage: true,
        schema: { openAPIV3Schema: { type: "object", "x-kubernetes-preserve-unknown-fields": true } },
      },
    ],
  },
});

test(
  "a type is told as lacking while its operator is not installed, and from when it is removed",
  needsCluster("api"),
  async (t) => {
    // Names of their own: what one test installs, no other one sees.
    const mark = `p${process.pid}`;
    const [coming, never] = [kindOf(`coming-${mark}`), kindOf(`never-${mark}`)];
    const one = await operatorCluster(t, { kinds: [coming, never], without: [coming, never], lookMs: 50 });
    const { client, plane } = one;
    const types = (index: number) => plane.requests.at(index)?.taskTypes;
    const [comes, lacks] = [`coming-${mark}`, `never-${mark}`];
    await plane.until(() => plane.requests.length > 0);
    assert.deepEqual(types(0), [`!${comes}`, `!${lacks}`], "nothing is promised before it was looked at");

    const crds = client.resource<KubeObject>({
      ...{ group: "apiextensions.k8s.io", version: "v1", plural: "customresourcedefinitions", namespaced: false },
    });
    const crd = await crds.create(crdOf(coming));
    t.after(() => crds.delete(crd.metadata.name).catch(() => undefined));
    await plane.until(() => types(-1)?.includes(comes) === true);
    assert.deepEqual(types(-1), [comes, `!${lacks}`]);
    const container = { case: "container" as const, value: create(ContainerSchema, { image: "task:1", args: ["a0"] }) };
    const lease = one.lease("a0", coming, {
      template: { target: container, custom: { workers: { numberOfWorkers: 1 } } },
    });
    await one.job(coming, lease);

    await crds.delete(crd.metadata.name);
    await plane.until(() => types(-1)?.includes(`!${comes}`) === true);
    // What it was given before is still its own, and ends with the word what became of it.
    const { error } = await one.released(lease);
    assert.match(error?.message ?? "", /PresentJob r1-a0-7-0 was deleted by someone else/);
  },
);
