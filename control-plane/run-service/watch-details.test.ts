import assert from "node:assert/strict";
import { test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { LogContextSchema } from "@flyte-ts/contract/flyteidl2/core/execution_pb.ts";
import { ClusterEventSchema } from "@flyte-ts/contract/flyteidl2/workflow/run_definition_pb.ts";
import {
  GetActionLogContextRequestSchema,
  WatchActionDetailsRequestSchema,
  WatchClusterEventsRequestSchema,
  WatchRunDetailsRequestSchema,
} from "@flyte-ts/contract/flyteidl2/workflow/run_service_pb.ts";
import { ActionPhase, ROOT_ACTION } from "@flyte-ts/core";
import { DOMAIN, failure, PROJECT, stage } from "./testing.ts";
import { getActionLogContext, watchActionDetails, watchClusterEvents, watchRunDetails } from "./watch-details.ts";

const { QUEUED, RUNNING, SUCCEEDED, FAILED } = ActionPhase;

const runId = (name: string) => ({ org: "", project: PROJECT, domain: DOMAIN, name });
const actionId = (run: string, name: string) => ({ run: runId(run), name });
const event = (message: string) => toBinary(ClusterEventSchema, create(ClusterEventSchema, { message }));
const logContext = toBinary(LogContextSchema, create(LogContextSchema, { primaryPodName: "pod-1" }));

test("an action's details come whole, after each change and report, and end with the terminal ones", async (t) => {
  const { replica, play, read } = await stage(t);
  await play.run("r1");
  await play.child("r1", "work");
  const request = create(WatchActionDetailsRequestSchema, { actionId: actionId("r1", "work") });
  const reader = read((signal) => watchActionDetails(replica, request, signal));
  const first = (await reader.next()).details;
  assert.equal(first?.status?.phase, QUEUED);
  assert.equal(first?.spec.case, "task");

  await play.report("r1", "work", RUNNING);
  assert.equal((await reader.next()).details?.status?.phase, RUNNING);
  await play.report("r1", "work", undefined, { logContext, logsAvailable: true });
  const logged = (await reader.next()).details?.attempts[0];
  assert.equal(logged?.logContext?.primaryPodName, "pod-1", "a report that moves nothing is told too");
  await play.child("r1", "stranger");
  await play.report("r1", "work", SUCCEEDED);
  const last = (await reader.next()).details;
  assert.equal(last?.status?.phase, SUCCEEDED);
  assert.equal(last?.attempts[0]?.phase, SUCCEEDED);
  await reader.ended();
});

test("details of an action that is over come once", async (t) => {
  const { replica, play, read } = await stage(t);
  await play.run("r1");
  await play.report("r1", ROOT_ACTION, FAILED, { error: failure("user", "no such file") });
  const request = create(WatchActionDetailsRequestSchema, { actionId: actionId("r1", ROOT_ACTION) });
  const reader = read((signal) => watchActionDetails(replica, request, signal));
  const { details } = await reader.next();
  assert.equal(details?.result.case, "errorInfo");
  await reader.ended();
});

test("what does not exist is not found at the start", async (t) => {
  const { replica, play, read } = await stage(t);
  await play.run("r1");
  for (const id of [actionId("r1", "nobody"), actionId("nowhere", ROOT_ACTION)]) {
    const details = create(WatchActionDetailsRequestSchema, { actionId: id });
    await assert.rejects(read((signal) => watchActionDetails(replica, details, signal)).next(), { kind: "not_found" });
    const events = create(WatchClusterEventsRequestSchema, { id, attempt: 1 });
    await assert.rejects(read((signal) => watchClusterEvents(replica, events, signal)).next(), { kind: "not_found" });
    const context = create(GetActionLogContextRequestSchema, { actionId: id, attempt: 1 });
    await assert.rejects(getActionLogContext(replica, context), { kind: "not_found" });
  }
  const run = create(WatchRunDetailsRequestSchema, { runId: runId("nowhere") });
  await assert.rejects(read((signal) => watchRunDetails(replica, run, signal)).next(), { kind: "not_found" });
});

test("a run's details are really there, follow its root only, and end with it", async (t) => {
  const { replica, play, read } = await stage(t);
  await play.run("r1", { labels: { team: "red" } });
  const request = create(WatchRunDetailsRequestSchema, { runId: runId("r1") });
  const reader = read((signal) => watchRunDetails(replica, request, signal));
  const first = (await reader.next()).details;
  assert.deepEqual(first?.runSpec?.labels?.values, { team: "red" });
  assert.equal(first?.action?.id?.name, ROOT_ACTION);
  await play.child("r1", "work");
  await play.report("r1", "work", RUNNING);
  await play.report("r1", ROOT_ACTION, RUNNING);
  assert.equal((await reader.next()).details?.action?.status?.phase, RUNNING);
  await play.report("r1", ROOT_ACTION, SUCCEEDED);
  assert.equal((await reader.next()).details?.action?.status?.phase, SUCCEEDED);
  await reader.ended();
});

test("cluster events: those that were, then each new one once, up to the end of the action", async (t) => {
  const { replica, another, play, read } = await stage(t);
  const other = await another();
  await play.run("r1");
  await play.report("r1", ROOT_ACTION, RUNNING, { clusterEvents: [event("pulled"), event("started")] });
  const request = create(WatchClusterEventsRequestSchema, { id: actionId("r1", ROOT_ACTION), attempt: 1 });
  for (const [at, fresh] of [
    [replica, "here"],
    [other, "there"],
  ] as const) {
    const reader = read((signal) => watchClusterEvents(at, request, signal));
    const before = (await reader.next()).clusterEvents.map(({ message }) => message);
    assert.deepEqual(before.slice(0, 2), ["pulled", "started"]);
    await play.report("r1", ROOT_ACTION, undefined, { clusterEvents: [event(fresh)] });
    assert.deepEqual(
      (await reader.next()).clusterEvents.map(({ message }) => message),
      [fresh],
    );
    if (at === replica) continue;
    await play.report("r1", ROOT_ACTION, SUCCEEDED, { clusterEvents: [event("gone")] });
    assert.deepEqual(
      (await reader.next()).clusterEvents.map(({ message }) => message),
      ["gone"],
    );
    await reader.ended();
  }
});

test("cluster events of an attempt end when another one follows", async (t) => {
  const { replica, play, read } = await stage(t);
  await play.run("r1", { retries: 1 });
  await play.report("r1", ROOT_ACTION, RUNNING, { clusterEvents: [event("started")] });
  const request = create(WatchClusterEventsRequestSchema, { id: actionId("r1", ROOT_ACTION), attempt: 1 });
  const reader = read((signal) => watchClusterEvents(replica, request, signal));
  await reader.next();
  await play.report("r1", ROOT_ACTION, FAILED, { error: failure("user"), clusterEvents: [event("killed")] });
  assert.deepEqual(
    (await reader.next()).clusterEvents.map(({ message }) => message),
    ["killed"],
  );
  await reader.ended();
});

test("the log context of an attempt, and not found while there is none", async (t) => {
  const { replica, play } = await stage(t);
  await play.run("r1");
  await play.report("r1", ROOT_ACTION, RUNNING);
  const request = create(GetActionLogContextRequestSchema, { actionId: actionId("r1", ROOT_ACTION), attempt: 1 });
  await assert.rejects(getActionLogContext(replica, request), { kind: "not_found" });
  await play.report("r1", ROOT_ACTION, undefined, { logContext });
  const found = await getActionLogContext(replica, request);
  assert.equal(found.logContext?.primaryPodName, "pod-1");
  assert.equal(found.cluster, "embedded");
  assert.ok(found.startTime);
  assert.equal(found.endTime, undefined);
});
