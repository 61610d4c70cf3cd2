import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Filter_Function as F, Sort_Direction } from "@flyte-ts/contract/flyteidl2/common/list_pb.ts";
import { ActionType, RunSource } from "@flyte-ts/contract/flyteidl2/workflow/run_definition_pb.ts";
import {
  ListActionsRequestSchema,
  ListRunsRequestSchema,
} from "@flyte-ts/contract/flyteidl2/workflow/run_service_pb.ts";
import { ActionPhase, ROOT_ACTION } from "@flyte-ts/core";
import { taskNameKey } from "../task-service/index.ts";
import { latestRuns } from "./latest-runs.ts";
import { listActions } from "./list-actions.ts";
import { listRuns } from "./list-runs.ts";
import { DOMAIN, failure, PROJECT, stage } from "./testing.ts";

const { RUNNING, SUCCEEDED, FAILED } = ActionPhase;

type ListInit = NonNullable<MessageInitShape<typeof ListRunsRequestSchema>["request"]>;
type Scope = NonNullable<MessageInitShape<typeof ListRunsRequestSchema>["scopeBy"]>;

const shop: Scope = { case: "projectId", value: { name: PROJECT, domain: DOMAIN } };
const where = (field: string, fn: F, ...values: string[]) => ({ field, function: fn, values });
const ascending = { key: "created_at", direction: Sort_Direction.ASCENDING };

test("ListRuns", async (t) => {
  const { replica, play } = await stage(t);
  await play.run("one", { task: "etl.load", version: "v1", labels: { team: "red", tier: "" }, createdBy: "ada" });
  await play.run("two", { task: "etl.load", version: "v2", labels: { team: "blue" }, source: RunSource.WEB });
  await play.run("three", { task: "train.main" });
  await play.run("four", { task: "etl.load", project: "other" });
  await play.run("five", { task: "report" });
  await play.report("one", ROOT_ACTION, RUNNING);
  await play.report("one", ROOT_ACTION, SUCCEEDED);
  await play.report("two", ROOT_ACTION, RUNNING);
  await play.report("three", ROOT_ACTION, FAILED, { error: failure("user") });
  await play.condition("five", "approve");

  const ask = (request: ListInit = {}, scopeBy: Scope = shop, pausedActionsOnly = false) =>
    listRuns(replica, create(ListRunsRequestSchema, { request, scopeBy, pausedActionsOnly }));
  const names = async (...question: Parameters<typeof ask>) =>
    (await ask(...question)).runs.map(({ action }) => action?.id?.run?.name);
  const filtered = (...filters: ReturnType<typeof where>[]) => names({ filters });

  await t.test("newest first, of one project; a run shows its root and its labels", async () => {
    const { runs, token } = await ask();
    assert.deepEqual(
      runs.map(({ action }) => action?.id?.run?.name),
      ["five", "three", "two", "one"],
    );
    assert.equal(token, "");
    const one = runs[3];
    assert.deepEqual(one?.labels, { team: "red", tier: "" });
    assert.equal(one?.action?.status?.phase, SUCCEEDED);
    assert.equal(one?.action?.id?.name, ROOT_ACTION);
    assert.equal(one?.action?.metadata?.environmentName, "etl");
    assert.equal(one?.action?.metadata?.funtionName, "load");
    assert.equal(runs[2]?.action?.metadata?.source, RunSource.WEB);
  });

  await t.test("pages join without a gap in both directions, also when runs arrive between them", async () => {
    for (const sortBy of [undefined, ascending]) {
      const seen: (string | undefined)[] = [];
      let token = "";
      do {
        const page = await ask({ limit: 1, token, ...(sortBy && { sortBy }) });
        assert.equal(page.runs.length, 1);
        seen.push(page.runs[0]?.action?.id?.run?.name);
        token = page.token;
      } while (token !== "");
      assert.deepEqual(seen, sortBy ? ["one", "two", "three", "five"] : ["five", "three", "two", "one"]);
    }
  });

  await t.test("scopes", async () => {
    assert.deepEqual(await names({}, { case: "org", value: "" }), ["five", "four", "three", "two", "one"]);
    const task = { org: "", project: PROJECT, domain: DOMAIN, name: "etl.load" };
    assert.deepEqual(await names({}, { case: "taskName", value: task }), ["two", "one"]);
    assert.deepEqual(await names({}, { case: "taskId", value: { ...task, version: "v1" } }), ["one"]);
    const trigger = { org: "", project: PROJECT, domain: DOMAIN, name: "daily", taskName: "etl.load" };
    assert.deepEqual(await names({}, { case: "triggerName", value: trigger }), []);
    await assert.rejects(ask({}, { case: undefined }), { kind: "invalid" });
  });

  await t.test("only runs with a paused action", async () => {
    assert.deepEqual(await names({}, shop, true), ["five"]);
    assert.deepEqual(await names({ filters: [where("task_name", F.EQUAL, "train.main")] }, shop, true), []);
  });

  await t.test("filters", async () => {
    assert.deepEqual(await filtered(where("phase", F.EQUAL, String(RUNNING))), ["two"]);
    assert.deepEqual(await filtered(where("phase", F.VALUE_IN, String(SUCCEEDED), String(FAILED))), ["three", "one"]);
    assert.deepEqual(await filtered(where("phase", F.VALUE_IN, "ACTION_PHASE_RUNNING", "failed")), ["three", "two"]);
    assert.deepEqual(await filtered(where("phase", F.EQUAL, "1", "0")), [], "the SDK's way to write 10");
    assert.deepEqual(await filtered(where("task_name", F.EQUAL, "etl.load")), ["two", "one"]);
    assert.deepEqual(await filtered(where("task_version", F.EQUAL, "v2")), ["two"]);
    assert.deepEqual(await filtered(where("function_name", F.CONTAINS_CASE_INSENSITIVE, "MAI")), ["three"]);
    assert.deepEqual(await filtered(where("environment_name", F.EQUAL, "train")), ["three"]);
    assert.deepEqual(await filtered(where("created_by", F.EQUAL, "ada")), ["one"]);
    assert.deepEqual(await filtered(where("created_by_subject", F.EQUAL, "ada")), ["one"]);
    assert.deepEqual(await filtered(where("labels.team", F.EQUAL, "red")), ["one"]);
    assert.deepEqual(await filtered(where("labels.team", F.EXISTS)), ["two", "one"]);
    assert.deepEqual(await filtered(where("labels.tier", F.EXISTS)), ["one"], "an empty label is there");
    assert.deepEqual(await filtered(where("source", F.EQUAL, "RUN_SOURCE_WEB")), ["two"]);
    assert.deepEqual(await filtered(where("run_source", F.VALUE_IN, "web", String(RunSource.CLI))), ["two"]);
    assert.deepEqual(await filtered(where("created_at", F.GREATER_THAN_OR_EQUAL, "2999-01-01T00:00:00")), []);
    assert.equal((await filtered(where("updated_at", F.LESS_THAN, "2999-01-01T00:00:00+00:00"))).length, 4);
    assert.deepEqual(await filtered(where("ended_at", F.EXISTS)), ["three", "one"]);
    assert.equal((await filtered(where("duration_ms", F.GREATER_THAN_OR_EQUAL, "0"))).length, 2);
    assert.deepEqual(await filtered(where("run_name", F.ENDS_WITH, "o")), ["two"]);
  });

  await t.test("what can not be answered is invalid", async () => {
    await assert.rejects(filtered(where("shoe_size", F.EQUAL, "42")), { kind: "invalid" });
    await assert.rejects(ask({ token: "forged" }), { kind: "invalid" });
    await assert.rejects(filtered(where("source", F.EQUAL, "carrier pigeon")), { kind: "invalid" });
  });

  await t.test("the last run of each task", async () => {
    const key = (name: string, project = PROJECT) => ({ project, domain: DOMAIN, name });
    const found = await latestRuns(replica.database)([key("etl.load"), key("etl.load", "other"), key("never.ran")]);
    assert.deepEqual([...found.keys()].sort(), [key("etl.load"), key("etl.load", "other")].map(taskNameKey).sort());
    const latest = found.get(taskNameKey(key("etl.load")));
    assert.equal(latest?.runId?.name, "two");
    assert.equal(latest?.phase, RUNNING);
    assert.equal(latest?.rootTaskName, "etl.load");
    assert.ok(latest?.runTime);
  });
});

test("ListActions", async (t) => {
  const { replica, play } = await stage(t);
  await play.run("r1");
  await play.run("r2");
  await play.child("r1", "load", ROOT_ACTION, { task: "etl.load", group: "map" });
  await play.child("r1", "part", "load", { task: "etl.part" });
  await play.condition("r1", "approve");
  await play.child("r2", "stranger");
  await play.report("r1", "part", RUNNING);

  const ask = (request: ListInit = {}, name = "r1") =>
    listActions(
      replica,
      create(ListActionsRequestSchema, { request, runId: { project: PROJECT, domain: DOMAIN, name } }),
    );
  const names = async (...filters: ReturnType<typeof where>[]) =>
    (await ask({ filters })).actions.map(({ id }) => id?.name);

  await t.test("oldest first, and the other way round; pages join", async () => {
    assert.deepEqual(await names(), [ROOT_ACTION, "load", "part", "approve"]);
    const sorted = await ask({ sortByFields: [{ key: "created_at", direction: Sort_Direction.DESCENDING }], limit: 2 });
    assert.deepEqual(
      sorted.actions.map(({ id }) => id?.name),
      ["approve", "part"],
    );
    const rest = await ask({
      sortByFields: [{ key: "created_at", direction: Sort_Direction.DESCENDING }],
      token: sorted.token,
    });
    assert.deepEqual(
      rest.actions.map(({ id }) => id?.name),
      ["load", ROOT_ACTION],
    );
  });

  await t.test("filters", async () => {
    assert.deepEqual(await names(where("phase", F.EQUAL, String(RUNNING))), ["part"]);
    assert.deepEqual(await names(where("parent_name", F.EQUAL, "load")), ["part"]);
    assert.deepEqual(await names(where("action_type", F.EQUAL, String(ActionType.CONDITION))), ["approve"]);
    assert.deepEqual(await names(where("name", F.CONTAINS, "pa")), ["part"]);
    assert.deepEqual(await names(where("task_name", F.EQUAL, "etl.load")), [ROOT_ACTION, "load"]);
    assert.deepEqual(await names(where("group", F.EQUAL, "map")), ["load"]);
    assert.equal((await names(where("updated_at", F.GREATER_THAN, "2020-01-01"))).length, 4);
    await assert.rejects(names(where("labels.team", F.EXISTS)), { kind: "invalid" });
  });

  await t.test("metadata is whole", async () => {
    const { actions } = await ask();
    const approve = actions[3]?.metadata;
    assert.equal(approve?.parent, ROOT_ACTION);
    assert.equal(approve?.actionType, ActionType.CONDITION);
    assert.equal(approve?.spec.case, "condition");
  });

  await t.test("a run that does not exist is not found", async () => {
    await assert.rejects(ask({}, "nowhere"), { kind: "not_found" });
  });
});
