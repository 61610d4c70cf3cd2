/** Events, log context and log links, from what Kubernetes shows. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { TaskTemplateSchema } from "@flyte-ts/contract/flyteidl2/core/tasks_pb.ts";
import { toDate } from "@flyte-ts/core";
import { leaseOf } from "../../executor/testing/leases.ts";
import { podConfig } from "./config.ts";
import { clusterEvent, news } from "./events.ts";
import { logContext, logLinks } from "./logs.ts";
import type { KubeEvent } from "./objects.ts";
import { at, endedPod, podWith, waitingPod } from "./testing/pods.ts";

const event = (name: string, fields: Partial<KubeEvent> = {}): KubeEvent => ({
  metadata: { name, uid: `${name}-uid` },
  type: "Normal",
  reason: name,
  message: "m",
  lastTimestamp: at(1),
  ...fields,
});

test("an event of either style keeps its type, reason, count, source and time", () => {
  const old = clusterEvent(
    event("BackOff", { type: "Warning", count: 3, source: { component: "kubelet" }, lastTimestamp: at(9) }),
  );
  assert.deepEqual(
    [old.type, old.reason, old.count, old.sourceComponent, old.message, old.occurredAt && toDate(old.occurredAt)],
    [2, "BackOff", 3, "kubelet", "m", new Date(at(9))],
  );
  const young = clusterEvent(
    event("Scheduled", {
      lastTimestamp: null,
      eventTime: at(2),
      reportingComponent: "default-scheduler",
      source: {},
      series: { count: 5, lastObservedTime: at(7) },
    }),
  );
  assert.deepEqual(
    [young.type, young.count, young.sourceComponent, young.occurredAt && toDate(young.occurredAt)],
    [1, 5, "default-scheduler", new Date(at(7))],
  );
  assert.deepEqual(
    [clusterEvent({ metadata: { name: "x" } }).count, clusterEvent({ metadata: { name: "x" } }).type],
    [1, 0],
  );
});

test("each event is told once, again when its count grows, in order of time", () => {
  const first = news([event("b", { lastTimestamp: at(2) }), event("a")], "");
  assert.deepEqual(
    first.events.map(({ reason }) => reason),
    ["a", "b"],
  );
  assert.deepEqual(news([event("a"), event("b")], first.told).events, []);
  const again = news([event("a"), event("b", { count: 4 }), event("c")], first.told);
  assert.deepEqual(
    again.events.map(({ reason, count }) => [reason, count]),
    [
      ["b", 4],
      ["c", 1],
    ],
  );
  const many = news(
    Array.from({ length: 500 }, (_, index) => event(`e${index}`)),
    "",
  );
  assert.equal(many.events.length, 500);
  assert.ok(many.told.length < 1500, "what is remembered has its bounds");
});

test("the log context names all containers and the times that are known", () => {
  const spec = { containers: [{ name: "main" }, { name: "side" }], initContainers: [{ name: "init" }] };
  const context = logContext(endedPod({}, {}, { spec }), "main");
  assert.equal(context.primaryPodName, "r1-a0-7-0");
  const [pod] = context.pods;
  assert.deepEqual([pod?.namespace, pod?.podName, pod?.primaryContainerName], ["ns", "r1-a0-7-0", "main"]);
  const [main, side] = pod?.containers ?? [];
  assert.equal(main?.process?.containerStartTime?.seconds, BigInt(Date.parse(at(5)) / 1000));
  assert.equal(main?.process?.containerEndTime?.seconds, BigInt(Date.parse(at(10)) / 1000));
  assert.deepEqual([side?.containerName, side?.process], ["side", undefined]);
  assert.deepEqual(
    pod?.initContainers.map(({ containerName }) => containerName),
    ["init"],
  );
  assert.equal(logContext(podWith({}), "main").pods[0]?.containers[0]?.process, undefined);
});

test("log links: every placeholder; a link that names the unknown is left out", () => {
  const names =
    "logName podName podUID namespace containerName containerId hostname nodeName podRFC3339StartTime podRFC3339FinishTime podUnixStartTime podUnixFinishTime taskID taskVersion taskProject taskDomain taskRetryAttempt nodeID generatedName executionName executionProject executionDomain runName actionName taskConfig.port";
  const { logLinks: links } = podConfig.parse({
    logLinks: [
      {
        name: "all {{.podName}}",
        uris: [
          names
            .split(" ")
            .map((name) => `{{ .${name} }}`)
            .join("|"),
        ],
      },
      { name: "never", uris: ["http://x/{{.whatever}}"] },
      { name: "pending", uris: ["http://x/{{$PODNAME}}", "http://y"], showWhilePending: true },
    ],
  });
  const template = create(TaskTemplateSchema, {
    id: { project: "tp", domain: "td", name: "e.f", version: "v1" },
    config: { port: "8080" },
    metadata: { logLinks: [{ uri: "http://own/{{.runName}}/{{.actionName}}", name: "own", HideOnceFinished: true }] },
  });
  const ended = endedPod({});
  const status = ended.status?.containerStatuses?.[0];
  if (status) status.containerID = "containerd://abc";
  const parts = { primary: "main", lease: leaseOf({ attempt: 2 }), template, links };
  const logs = logLinks({ ...parts, pod: ended });
  assert.deepEqual(
    logs.map(({ name, uri, ready }) => [name, uri, ready]),
    [
      ["own", "http://own/r1/a0", true],
      [
        "all r1-a0-7-0",
        `main|r1-a0-7-0|u1|ns|main|abc|r1-a0-7-0|n1|${at(5)}|${at(10)}|1767225605|1767225610|e.f|v1|tp|td|1|a0|r1-a0-7-0|r1|p|development|r1|a0|8080`,
        true,
      ],
      ["pending", "http://x/r1-a0-7-0", true],
      ["pending", "http://y", true],
    ],
  );
  assert.equal(logs[0]?.HideOnceFinished, true);
  const early = logLinks({ ...parts, pod: waitingPod("ContainerCreating") });
  assert.deepEqual(
    early.map(({ name, ready }) => [name, ready]),
    [
      ["own", false],
      ["pending", true],
      ["pending", true],
    ],
  );
});
