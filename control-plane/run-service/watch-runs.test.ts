import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  WatchRunsRequestSchema,
  type WatchRunsResponse,
} from "@flyte-ts/contract/flyteidl2/workflow/run_service_pb.ts";
import { ActionPhase, ROOT_ACTION } from "@flyte-ts/core";
import { DOMAIN, handTimer, PROJECT, stage } from "./testing.ts";
import { watchRuns } from "./watch-runs.ts";

const { QUEUED, RUNNING, SUCCEEDED } = ActionPhase;

type Target = NonNullable<MessageInitShape<typeof WatchRunsRequestSchema>["target"]>;

const shop: Target = { case: "projectId", value: { name: PROJECT, domain: DOMAIN } };
const request = (target: Target = shop) => create(WatchRunsRequestSchema, { target });
const isEmpty = ({ runs }: WatchRunsResponse) => runs.length === 0;
const told = ({ runs }: WatchRunsResponse) => runs.map(({ action }) => [action?.id?.run?.name, action?.status?.phase]);

test("the newest runs, the end of the snapshot, then new and changed runs of the project only", async (t) => {
  const { replica, play, read } = await stage(t);
  await play.run("one", { labels: { team: "red" } });
  await play.run("two");
  const reader = read((signal) => watchRuns(replica, request(), signal));
  const snapshot = await reader.next();
  assert.deepEqual(told(snapshot), [
    ["two", QUEUED],
    ["one", QUEUED],
  ]);
  assert.deepEqual(snapshot.runs[1]?.labels, { team: "red" });
  assert.ok(isEmpty(await reader.next()));

  await play.run("elsewhere", { project: "other" });
  await play.run("three");
  assert.deepEqual(told(await reader.next()), [["three", QUEUED]], "a new run shows before it ever changes");
  await play.child("one", "child");
  await play.report("one", ROOT_ACTION, RUNNING);
  assert.deepEqual(told(await reader.next()), [["one", RUNNING]]);
});

test("a snapshot holds 100 runs; a project without runs has an empty one", async (t) => {
  const { replica, play, read } = await stage(t);
  const empty = read((signal) => watchRuns(replica, request(), signal));
  assert.ok(isEmpty(await empty.next()));
  await Promise.all(Array.from({ length: 105 }, (_, n) => play.run(`r${n}`)));
  const reader = read((signal) => watchRuns(replica, request(), signal));
  assert.equal((await reader.next()).runs.length, 100);
  assert.ok(isEmpty(await reader.next()));
});

test("a slow reader gets the latest state of each run once", async (t) => {
  const { replica, play, read } = await stage(t);
  const names = Array.from({ length: 20 }, (_, n) => `r${n}`);
  await Promise.all(names.map((name) => play.run(name)));
  const reader = read((signal) => watchRuns(replica, request(), signal));
  await reader.until(isEmpty);
  // Wakes the stream, which then stands still: nobody reads.
  const first = reader.next();
  await play.run("another");
  await first;
  for (const phase of [RUNNING, SUCCEEDED])
    await Promise.all(names.map((name) => play.report(name, ROOT_ACTION, phase)));
  const seen = told(await reader.next());
  assert.deepEqual(seen.map(([name]) => name).sort(), [...names].sort());
  assert.ok(seen.every(([, phase]) => phase === SUCCEEDED));
});

test("targets: all runs, those of a task version, those of a cluster once it reported them", async (t) => {
  const { replica, play, read } = await stage(t);
  await play.run("old", { task: "etl.load", version: "v1" });
  await play.run("new", { task: "etl.load", version: "v2", project: "other" });
  const first = async (target: Target) => {
    const reader = read((signal) => watchRuns(replica, request(target), signal));
    const message = await reader.next();
    return { reader, names: told(message).map(([name]) => name) };
  };
  assert.deepEqual((await first({ case: "org", value: "" })).names, ["new", "old"]);
  const task = { org: "", project: PROJECT, domain: DOMAIN, name: "etl.load", version: "v1" };
  assert.deepEqual((await first({ case: "taskId", value: task })).names, ["old"]);
  const cluster = await first({ case: "clusterId", value: { organization: "", name: "embedded" } });
  assert.deepEqual(cluster.names, []);
  await play.report("old", ROOT_ACTION, RUNNING);
  assert.deepEqual(told(await cluster.reader.next()), [["old", RUNNING]]);
  await assert.rejects(first({ case: undefined }), { kind: "invalid" });
});

test("silence is broken by an empty message each 15 s", async (t) => {
  const { replica, read } = await stage(t);
  const { timer, fire } = handTimer();
  const reader = read((signal) => watchRuns({ ...replica, timer }, request(), signal));
  await reader.until(isEmpty);
  const [message] = await Promise.all([reader.next(), fire(15_000)]);
  assert.ok(isEmpty(message));
});
