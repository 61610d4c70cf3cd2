/** Names and amounts that Kubernetes takes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { ActionRefSchema } from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";
import { labelKey, labelValue, objectName, podName } from "./names.ts";
import { quantity } from "./quantity.ts";

const ref = (run: string, name: string, runKey = 7n) => create(ActionRefSchema, { run, name, runKey });

test("an action's object: readable, a DNS label with room for the attempt, and nobody else's", () => {
  assert.equal(objectName(ref("r1", "a0")), "r1-a0-7");
  assert.equal(podName(ref("r1", "a0"), 3), "r1-a0-7-2");
  const longest = "x".repeat(30);
  const refs = [
    ref("r1", "a0"),
    ref("r1", "a0", 8n),
    ref("r1", "A0"),
    ref("r1", "a-0"),
    ref("r1", "a.0"),
    ref("r1", "a_0"),
    ref(longest, longest, 2n ** 63n),
    ref(longest, `${longest.slice(1)}y`, 2n ** 63n),
    ref("", ""),
    ref("ü", "../.."),
    ref("-", "-"),
  ];
  const names = refs.map((one) => podName(one, 4294967295));
  for (const name of names) assert.match(name, /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/);
  assert.equal(new Set(names).size, names.length);
  assert.deepEqual(
    names,
    refs.map((one) => podName(one, 4294967295)),
  );
});

test("labels", () => {
  for (const [text, value] of [
    ["env.main", "env.main"],
    ["a b/ü", "a-b"],
    ["..", ""],
    [`a${"-".repeat(80)}b`, "a"],
  ] as const) {
    assert.equal(labelValue(text), value);
  }
  for (const [text, key] of [
    ["app", "app"],
    ["ok.org/app", "ok.org/app"],
    ["no!.org/app", "no-.org-app"],
    ["/app", "app"],
    ["ok.org/", undefined],
  ] as const) {
    assert.equal(labelKey(text), key, text);
  }
});

test("quantities", () => {
  for (const [text, amount] of [
    ["500m", 0.5],
    ["1", 1],
    ["1Gi", 2 ** 30],
    ["1.5Mi", 1.5 * 2 ** 20],
    ["2e3", 2000],
    ["1E", 1e18],
    [".5", 0.5],
    ["-1", -1],
    ["", undefined],
    ["1 Gi", undefined],
    ["1GB", undefined],
    ["x", undefined],
  ] as const) {
    assert.equal(quantity(text), amount, text);
  }
});
