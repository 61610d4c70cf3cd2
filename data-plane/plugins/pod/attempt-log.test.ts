/** Logs and events of attempts, through an executor on a real cluster: what a reader elsewhere gets when all is over. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { fromBinary } from "@bufbuild/protobuf";
import { type ClusterEvent, ClusterEventSchema } from "@flyte-ts/contract/flyteidl2/workflow/run_definition_pb.ts";
import type { LeasedAction } from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";
import { systemClock } from "@flyte-ts/core";
import type { KubeObject, OwnerReference } from "@flyte-ts/platform/kubernetes";
import { eventually, needsCluster } from "@flyte-ts/platform/kubernetes/testing.ts";
import type { FileStore } from "@flyte-ts/platform/object-store";
import { attemptPlaces } from "../../executor/index.ts";
import { silentLog } from "../../executor/log.ts";
import { keyOf } from "../../executor/testing/leases.ts";
import { type LogLine, LogNotFoundError, logStore } from "../../logs/index.ts";
import { podLogs } from "./index.ts";
import type { KubeEvent } from "./objects.ts";
import { textOf } from "./testing/pod-logs-cluster.ts";
import { realCluster } from "./testing/real-cluster.ts";

const needsNode = needsCluster("node");

async function loggedCluster(t: TestContext, owner?: (namespace: string) => OwnerReference | undefined) {
  let objects: FileStore | undefined;
  const one = await realCluster(t, {
    // An attempt waits for its image until it is aborted.
    config: { graces: { imagePullMs: 600_000 } },
    parts({ cluster: { client, namespace }, objectStore }) {
      objects = objectStore;
      return {
        logs: podLogs({ client, objectStore, log: silentLog }),
        ...(owner ? { owner: () => owner(namespace) } : {}),
      };
    },
  });
  const elsewhere = logStore({ objectStore: objects as FileStore, clock: systemClock, log: silentLog });
  return {
    ...one,
    async read(lease: LeasedAction): Promise<LogLine[]> {
      const { attemptUri } = attemptPlaces(lease);
      const lines: LogLine[] = [];
      for await (const batch of elsewhere.tail({ attemptUri })) lines.push(...batch.lines);
      return lines;
    },
    /** Its first line has come. */
    async speaks(lease: LeasedAction): Promise<boolean> {
      try {
        for await (const _ of elsewhere.tail({ attemptUri: attemptPlaces(lease).attemptUri })) return true;
      } catch (error) {
        if (!(error instanceof LogNotFoundError)) throw error;
      }
      return false;
    },
    eventsOf: (lease: LeasedAction): ClusterEvent[] =>
      one.plane
        .told(keyOf(lease))
        .reports.flatMap(({ clusterEvents }) => clusterEvents.map((bytes) => fromBinary(ClusterEventSchema, bytes))),
  };
}

test(
  "succeeded, failed, aborted while it ran and before it did: the log is whole when the attempt is released",
  needsNode,
  async (t) => {
    const one = await loggedCluster(t);
    const quick = one.shell("quick", "echo quick");
    const failed = one.shell("failed", "echo out; echo err >&2; exit 3");
    const polite = one.shell("polite", "trap 'echo bye; exit 0' TERM; echo hello; while :; do sleep 0.05; done");
    const early = one.shell("early", "sleep 300", {}, { image: "localhost/absent:1" });
    await one.phase(polite, "RUNNING");
    await eventually(() => one.speaks(polite));
    one.plane.abort(polite);
    one.plane.abort(early);
    const released = [];
    for (const lease of [quick, failed, polite, early]) released.push((await one.released(lease)).phases.at(-1));
    assert.deepEqual(released, ["SUCCEEDED", "FAILED", "ABORTED", "ABORTED"]);
    assert.equal(textOf(await one.read(quick)), "quick\n");
    // The order of two streams is the node's.
    assert.deepEqual(
      textOf(await one.read(failed))
        .split("\n")
        .toSorted(),
      ["", "err", "out"],
    );
    assert.equal(textOf(await one.read(polite)), "hello\nbye\n");
    await assert.rejects(one.read(early), LogNotFoundError);
    assert.ok(one.plane.told(keyOf(quick)).reports.some(({ logsAvailable }) => logsAvailable));
  },
);

test(
  "what is said of the object that stands for an attempt is told as what is said of its pod",
  needsNode,
  async (t) => {
    let owner: OwnerReference | undefined;
    const one = await loggedCluster(t, () => owner);
    const { client, namespace } = one;
    const actions = client.resource<KubeObject & { spec: object }>({
      group: "flyte.org",
      version: "v1",
      plural: "taskactions",
      namespaced: true,
    });
    const place = { runName: "r1", project: "p", domain: "development", actionName: "a0", runKey: 7 };
    const stored = await actions.create({
      apiVersion: "flyte.org/v1",
      kind: "TaskAction",
      metadata: { name: "r1-a0-7", namespace },
      spec: {
        ...place,
        runOutputBase: "s3://x",
        cluster: "other",
        leaseEpoch: 1,
        attempt: 1,
        taskType: "t",
        taskTemplate: "e30=",
      },
    });
    const { name, uid = "" } = stored.metadata;
    owner = { apiVersion: "flyte.org/v1", kind: "TaskAction", name, uid };
    const lease = one.shell("a0", "sleep 300");
    await one.phase(lease, "RUNNING");
    const events = client.resource<KubeEvent>({ group: "", version: "v1", plural: "events", namespaced: true });
    const now = new Date().toISOString();
    await events.create({
      apiVersion: "v1",
      kind: "Event",
      metadata: { name: "watched.1", namespace },
      involvedObject: { kind: "TaskAction", namespace, name, uid },
      type: "Warning",
      reason: "Watched",
      message: "somebody looks at it",
      count: 3,
      firstTimestamp: now,
      lastTimestamp: now,
      source: { component: "a-person" },
    } as KubeEvent);
    const told = await eventually(() => one.eventsOf(lease).find(({ reason }) => reason === "Watched"));
    assert.deepEqual(
      [told.type, told.count, told.message, told.sourceComponent],
      [2, 3, "somebody looks at it", "a-person"],
    );
    assert.ok(one.eventsOf(lease).some(({ reason }) => reason === "Scheduled"));
    one.plane.abort(lease);
    await one.released(lease);
  },
);
