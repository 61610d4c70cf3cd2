/** Real pods on a real cluster: what a kubelet makes of them is what phases are read from. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { create, fromBinary, type JsonObject } from "@bufbuild/protobuf";
import { LogContextSchema } from "@flyte-ts/contract/flyteidl2/core/execution_pb.ts";
import { Secret_MountType } from "@flyte-ts/contract/flyteidl2/core/security_pb.ts";
import { K8sPodSchema, Resources_ResourceName, type TaskTemplate } from "@flyte-ts/contract/flyteidl2/core/tasks_pb.ts";
import { ClusterEventSchema } from "@flyte-ts/contract/flyteidl2/workflow/run_definition_pb.ts";
import type { KubeObject } from "@flyte-ts/platform/kubernetes";
import { eventually, needsCluster } from "@flyte-ts/platform/kubernetes/testing.ts";
import { keyOf } from "../../executor/testing/leases.ts";
import { IMAGE, realCluster } from "./testing/real-cluster.ts";

const needsNode = needsCluster("node");

test("attempts as real pods: every end, secrets, an abort, a deletion by hand", needsNode, async (t) => {
  const one = await realCluster(t);
  const { plane, kubectl, namespace } = one;
  const outputs = { interface: { outputs: { variables: [{ key: "o0", value: {} }] } } };
  const secrets = [
    { key: "token", mountRequirement: Secret_MountType.ENV_VAR, envVar: "TOKEN" },
    { group: "team", key: "KEY", mountRequirement: Secret_MountType.FILE },
  ];
  const memory = { name: Resources_ResourceName.MEMORY, value: "16Mi" };
  type Row = [name: string, script: string, phase: string, code: string, TaskTemplate | object, container?: object];
  const rows: Row[] = [
    ["zero", "exit 0", "SUCCEEDED", "", {}],
    ["missing", "exit 0", "FAILED", "OutputsMissing", outputs],
    ["three", "echo oh no; exit 3", "FAILED", "ExitCode3", {}],
    [
      "secret",
      'test "$TOKEN" = "the token" && test "$(cat /etc/flyte/secrets/team/KEY /etc/flyte/secrets/team/key)" = "the KEYthe KEY"',
      "SUCCEEDED",
      "",
      { securityContext: { secrets } },
    ],
    ["literal", 'test "$$" -gt 0 && test "$0" = sh', "SUCCEEDED", "", {}, { args: ["sh"] }],
    ["program", "", "FAILED", "CommandNotFound", {}, { command: ["/no/such/program"] }],
    ["memory", "tail /dev/zero", "FAILED", "OOMKilled", {}, { resources: { limits: [memory] } }],
    ["image", "", "FAILED", "InvalidImageName", {}, { image: "NOT AN IMAGE" }],
    ["killed", "kill -KILL 1; sh -c 'kill -KILL $PPID'; exit 137", "FAILED", "Interrupted", {}],
  ];
  for (const [name, script, , , template, container] of rows) one.shell(name, script, template, container);
  const aborted = one.shell("aborted", "trap '' TERM; sleep 300 & wait; sleep 300");
  const deleted = one.shell("deleted", "sleep 300");

  for (const lease of [aborted, deleted]) {
    await one.phase(lease, "RUNNING");
  }
  plane.abort(aborted);
  await kubectl("delete", "pod", "r1-deleted-7-0", "--wait=false");
  for (const [name, , phase, code] of rows) {
    const key = `7/${name}/1`;
    await plane.until(() => plane.told(key).released);
    const told = plane.told(key);
    assert.equal(told.phases.at(-1), phase, `${name}: ${told.error?.code} ${told.error?.message}`);
    assert.equal(told.error?.code ?? "", code, `${name}: ${told.error?.message}`);
  }
  assert.match(plane.told("7/three/1").error?.message ?? "", /last log lines:\noh no/);
  for (const [lease, phase, code] of [
    [aborted, "ABORTED", ""],
    [deleted, "FAILED", "ResourceDeletedExternally"],
  ] as const) {
    const told = await one.released(lease);
    assert.deepEqual([told.phases.at(-1), told.error?.code ?? ""], [phase, code], told.error?.message);
  }

  const reports = plane.told("7/three/1").reports;
  const context = fromBinary(
    LogContextSchema,
    reports.findLast(({ logContext }) => logContext.length > 0)?.logContext ?? new Uint8Array(),
  );
  assert.equal(context.pods[0]?.namespace, namespace);
  assert.ok(context.pods[0]?.containers[0]?.process?.containerEndTime);
  const events = reports.flatMap(({ clusterEvents }) =>
    clusterEvents.map((bytes) => fromBinary(ClusterEventSchema, bytes)),
  );
  const scheduled = events.find(({ reason }) => reason === "Scheduled");
  assert.ok(
    scheduled && scheduled.sourceComponent === "default-scheduler" && scheduled.count === 1,
    JSON.stringify(events.map(({ reason }) => reason)),
  );

  // Once the control plane has every end, the cluster has nothing of them.
  const left = () => kubectl("get", "pods,secrets", "--selector", "flyte.org/managed=true", "--output", "name");
  await eventually(async () => (await left()).trim() === "");
});

test("what a real API server refuses", needsNode, async (t) => {
  const one = await realCluster(t);
  const { client, namespace } = one;
  const quotas = client.resource<Quota>({ group: "", version: "v1", plural: "resourcequotas", namespaced: true });
  const hard = { pods: "1", "limits.memory": "1Gi" };
  await quotas.create({
    apiVersion: "v1",
    kind: "ResourceQuota",
    metadata: { name: "few", namespace },
    spec: { hard },
  });
  await eventually(async () => (await quotas.get("few", { namespace })).status?.used?.pods);

  const first = one.shell("first", "sleep 300");
  await one.phase(first, "RUNNING");
  const second = one.shell("second", "exit 0");
  await one.phase(second, "WAITING_FOR_RESOURCES");
  const [event] = one.plane.told(keyOf(second)).reports.flatMap(({ clusterEvents }) => clusterEvents);
  assert.match(fromBinary(ClusterEventSchema, event ?? new Uint8Array()).message, /exceeded quota: few.*pods=1/);
  one.plane.abort(first);
  assert.equal((await one.released(second)).phases.at(-1), "SUCCEEDED");

  const limits = [{ name: Resources_ResourceName.MEMORY, value: "2Gi" }];
  const pod = (podSpec: JsonObject) => ({
    target: { case: "k8sPod" as const, value: create(K8sPodSchema, { podSpec }) },
  });
  const containers = [{ name: "m", image: IMAGE }];
  const rows = [
    [one.shell("never", "exit 0", {}, { resources: { limits } }), "ExceededQuota", /never fit: limits.memory=2Gi/],
    [one.run("unknown", pod({ containers, nonsense: true })), "BadRequest", /nonsense/],
    [one.run("type", pod({ containers, hostNetwork: "perhaps" })), "BadRequest", /hostNetwork/],
    [one.run("value", pod({ containers, dnsPolicy: "Sometimes" })), "InvalidResource", /dnsPolicy/],
    [
      one.run("account", pod({ containers, serviceAccountName: "nobody" })),
      "InvalidResource",
      /create the service account/,
    ],
    [one.shell("large", "x".repeat(4 << 20)), "EntityTooLarge", /smaller/],
  ] as const;
  for (const [lease, code, message] of rows) {
    const told = await one.released(lease);
    assert.deepEqual([told.phases.at(-1), told.error?.code], ["FAILED", code], told.error?.message);
    assert.match(told.error?.message ?? "", message);
  }
});

interface Quota extends KubeObject {
  spec: { hard: Record<string, string> };
  status?: { used?: Record<string, string> };
}
