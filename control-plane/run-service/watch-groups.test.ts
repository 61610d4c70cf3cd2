import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Filter_Function, Sort_Direction } from "@flyte-ts/contract/flyteidl2/common/list_pb.ts";
import { WatchGroupsRequestSchema } from "@flyte-ts/contract/flyteidl2/workflow/run_service_pb.ts";
import { ActionPhase, ROOT_ACTION, toMs, toTimestamp } from "@flyte-ts/core";
import { DOMAIN, failure, handTimer, PROJECT, type Replica, type Stage, stage } from "./testing.ts";
import { watchGroups } from "./watch-groups.ts";

const { QUEUED, RUNNING, SUCCEEDED, FAILED } = ActionPhase;

type Init = Exclude<MessageInitShape<typeof WatchGroupsRequestSchema>, { $typeName: string }>;

const later = toTimestamp(new Date(Date.now() + 3_600_000));

function request(more: Init = {}) {
  return create(WatchGroupsRequestSchema, {
    scopeBy: { case: "projectId", value: { name: PROJECT, domain: DOMAIN } },
    ...more,
  });
}

/** The first set of a window. */
async function groupsOf({ replica, read }: Pick<Stage, "read"> & { replica: Replica }, more: Init = {}) {
  const { taskGroups, sentinel } = await read((signal) => watchGroups(replica, request(more), signal)).next();
  assert.ok(sentinel);
  return taskGroups;
}

test("groups are aggregated by the root's task", async (t) => {
  const here = await stage(t);
  const { play } = here;
  const began = toTimestamp(new Date(Date.now() - 3_600_000));
  for (let n = 0; n < 12; n++) await play.run(`load-${n}`, { task: "etl.load", createdBy: n % 2 ? "ada" : "bob" });
  await play.run("train", { task: "train.main", retries: 1 });
  await play.run("foreign", { task: "etl.load", project: "other" });
  await play.child("load-0", "child", ROOT_ACTION, { task: "etl.part" });
  await play.report("load-0", ROOT_ACTION, RUNNING);
  await play.report("load-1", ROOT_ACTION, RUNNING);
  await play.report("load-1", ROOT_ACTION, SUCCEEDED);
  await play.report("load-2", ROOT_ACTION, RUNNING);
  await play.report("load-2", ROOT_ACTION, FAILED, { error: failure("user") });
  // One lost attempt and then the user's own error: the error says whose it was.
  await play.report("train", ROOT_ACTION, FAILED, { error: failure("user") });
  await play.report("train", ROOT_ACTION, RUNNING);

  const groups = await groupsOf(here, { startDate: began, endDate: later });
  assert.deepEqual(
    groups.map(({ taskName }) => taskName),
    ["train.main", "etl.load"],
  );
  const load = groups[1];
  assert.ok(load);
  assert.equal(load.totalRuns, 12n);
  assert.equal(load.shortName, "load");
  assert.equal(load.environmentName, "etl");
  assert.deepEqual(
    load.recentStatuses.map(({ runName, phase }) => [runName, phase]),
    Array.from({ length: 10 }, (_, n) => [`load-${n + 2}`, n === 0 ? FAILED : QUEUED]),
  );
  assert.deepEqual(
    load.phaseCounts.map(({ phase, count }) => [phase, count]),
    [
      [QUEUED, 9n],
      [RUNNING, 1n],
      [SUCCEEDED, 1n],
      [FAILED, 1n],
    ],
  );
  assert.equal(load.errorCounts?.userError, 1n);
  assert.equal(load.errorCounts?.systemError, 0n);
  assert.ok(Math.abs(load.averageFailureRate - 1 / 12) < 1e-9);
  assert.ok(load.averageDuration && toMs(load.averageDuration) >= 0);
  assert.ok(load.averageTimeToRunning);
  assert.ok(load.latestRunTime && load.latestFinishedTime);
  assert.deepEqual(
    load.createdBy.map(({ principal }) => (principal.case === "user" ? principal.value.id?.subject : "")).sort(),
    ["ada", "bob"],
  );
});

test("an error after attempts lost to both sides counts as what ended the run", async (t) => {
  const here = await stage(t);
  const { play, replica } = here;
  for (const [run, kind] of [
    ["mine", "user"],
    ["theirs", "system"],
  ] as const) {
    await play.run(run, { task: "etl.load" });
    await play.report(run, ROOT_ACTION, FAILED, { error: failure(kind) });
  }
  await replica.database.query({
    text: "update actions set phase = 6, error = coalesce(error, $1), user_failures = 1, system_failures = 1",
    values: [failure("system")],
  });
  const [group] = await groupsOf(here);
  assert.equal(group?.errorCounts?.userError, 1n);
  assert.equal(group?.errorCounts?.systemError, 1n);
});

test("window, filters on runs, limit, token and sort", async (t) => {
  const here = await stage(t);
  const { play } = here;
  await play.run("one", { task: "b.task", createdBy: "ada" });
  await play.run("two", { task: "c.task" });
  await play.run("three", { task: "a.task" });
  await play.run("four", { task: "c.task" });
  const names = async (more: Init) => (await groupsOf(here, more)).map(({ taskName }) => taskName);
  assert.deepEqual(await names({}), ["c.task", "a.task", "b.task"]);
  assert.deepEqual(await names({ startDate: later }), []);
  assert.deepEqual(await names({ endDate: toTimestamp(new Date(0)) }), []);
  const filters = [{ field: "created_by", function: Filter_Function.EQUAL, values: ["ada"] }];
  assert.deepEqual(await names({ request: { filters } }), ["b.task"]);
  const sortBy = { key: "task_name", direction: Sort_Direction.ASCENDING };
  assert.deepEqual(await names({ request: { sortBy, limit: 2 } }), ["a.task", "b.task"]);
  assert.deepEqual(await names({ request: { sortBy, limit: 2, token: "2" } }), ["c.task"]);
  const busiest = { key: "total_runs", direction: Sort_Direction.DESCENDING };
  assert.deepEqual(await names({ request: { sortBy: busiest, limit: 1 } }), ["c.task"]);
  const knownSortFields = [{ sortBy: { case: "createdAt" as const, value: Sort_Direction.ASCENDING } }];
  assert.deepEqual(await names({ knownSortFields }), ["b.task", "a.task", "c.task"]);
  await assert.rejects(names({ request: { sortBy: { key: "shoe_size", direction: 0 } } }), { kind: "invalid" });
});

test("a window that is over is told once", async (t) => {
  const { replica, play, read } = await stage(t);
  await play.run("one");
  const past = request({ endDate: toTimestamp(new Date(0)) });
  const reader = read((signal) => watchGroups(replica, past, signal));
  assert.deepEqual(await reader.next().then(({ taskGroups, sentinel }) => [taskGroups.length, sentinel]), [0, true]);
  await reader.ended();
});

test("then groups that changed, a second after their runs did, and those that went", async (t) => {
  const { replica, play, read } = await stage(t);
  await play.run("one", { task: "etl.load" });
  await play.run("two", { task: "train.main" });
  const { timer, fire } = handTimer();
  const filters = [{ field: "phase", function: Filter_Function.VALUE_IN, values: [String(QUEUED), String(RUNNING)] }];
  const reader = read((signal) => watchGroups({ ...replica, timer }, request({ request: { filters } }), signal));
  assert.equal((await reader.next()).taskGroups.length, 2);

  await play.run("foreign", { project: "other" });
  await play.report("one", ROOT_ACTION, RUNNING);
  const [changed] = await Promise.all([reader.next(), fire(1000)]);
  assert.equal(changed.sentinel, false);
  assert.deepEqual(
    changed.taskGroups.map(({ taskName, phaseCounts }) => [taskName, phaseCounts[0]?.phase]),
    [["etl.load", RUNNING]],
  );
  await play.report("one", ROOT_ACTION, SUCCEEDED);
  const [gone] = await Promise.all([reader.next(), fire(1000)]);
  assert.deepEqual(
    gone.taskGroups.map(({ taskName, shouldDelete }) => [taskName, shouldDelete]),
    [["etl.load", true]],
  );
});
