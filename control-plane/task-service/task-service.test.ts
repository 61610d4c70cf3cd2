import assert from "node:assert/strict";
import { test } from "node:test";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { Code, createClient } from "@connectrpc/connect";
import {
  Filter_Function as F,
  type Filter_Function,
  type ListRequestSchema,
  Sort_Direction,
} from "@flyte-ts/contract/flyteidl2/common/list_pb.ts";
import {
  LatestRunSummarySchema,
  type TaskSpecSchema as SpecSchema,
  TaskSpecSchema,
} from "@flyte-ts/contract/flyteidl2/task/task_definition_pb.ts";
import {
  type ListTasksRequest_KnownFilterSchema,
  TaskService,
} from "@flyte-ts/contract/flyteidl2/task/task_service_pb.ts";
import { type TestScope, testDatabase } from "@flyte-ts/platform/postgres/testing.ts";
import { describeIdentities, localIdentity } from "../identity-service/index.ts";
import { seedProjects } from "../project-service/index.ts";
import { failsWith, migrations, testTransport } from "../testing.ts";
import { type LatestRuns, taskNameKey, taskService } from "./index.ts";

type SpecInit = Exclude<MessageInitShape<typeof SpecSchema>, { $typeName: string }>;

async function setUp(t: TestScope, latestRuns?: LatestRuns) {
  const database = await testDatabase(t, { migrations });
  await seedProjects(database, ["shop", "other"]);
  const identity = localIdentity("Ada Lovelace");
  const implementation = taskService({
    database,
    describeIdentity: describeIdentities([identity]),
    ...(latestRuns ? { latestRuns } : {}),
  });
  const client = createClient(
    TaskService,
    testTransport(({ service }) => void service(TaskService, implementation), { identity }),
  );
  const deploy = (name: string, version = "v1", spec: SpecInit = {}, at: { project?: string; domain?: string } = {}) =>
    client.deployTask({ taskId: taskId(name, version, at), spec: { taskTemplate: { type: "python" }, ...spec } });
  return { database, client, deploy };
}

function taskId(
  name: string,
  version: string,
  { project = "shop", domain = "development" }: { project?: string; domain?: string } = {},
) {
  return { org: "", project, domain, name, version };
}

test("a task is deployed and read back whole", async (t) => {
  const { client, deploy } = await setUp(t);
  const spec: SpecInit = {
    taskTemplate: {
      type: "python",
      metadata: { isEntrypoint: true },
      interface: { inputs: { variables: [{ key: "x" }] } },
      target: { case: "container", value: { image: "auto", args: ["a0"] } },
    },
    shortName: "main",
    environment: { name: "env", description: "about" },
    documentation: { shortDescription: "short", longDescription: "long" },
    defaultInputs: [{ name: "x" }],
  };
  await deploy("env.main", "v1", spec);
  const { details } = await client.getTaskDetails({ taskId: taskId("env.main", "v1") });
  assert.deepEqual(details?.spec, create(TaskSpecSchema, spec));
  assert.equal(details.taskId?.version, "v1");
  assert.equal(details.metadata?.shortName, "main");
  assert.equal(details.metadata.environmentName, "env");
  assert.equal(details.metadata.shortDescription, "short");
  assert.ok(details.metadata.deployedAt);
  const principal = details.metadata.deployedBy?.principal;
  assert.equal(principal?.case === "user" && principal.value.id?.subject, "local");
  assert.equal(principal?.case === "user" && principal.value.spec?.userHandle, "Ada Lovelace");
});

test("a version never changes", async (t) => {
  const { client, deploy } = await setUp(t);
  await deploy("env.main", "v1", { shortName: "first" });
  for (const shortName of ["first", "second"]) {
    await assert.rejects(
      deploy("env.main", "v1", { shortName }),
      failsWith(Code.AlreadyExists, /env\.main version v1 in shop\/development/),
    );
  }
  const { details } = await client.getTaskDetails({ taskId: taskId("env.main", "v1") });
  assert.equal(details?.spec?.shortName, "first");

  const outcomes = await Promise.allSettled(
    ["a", "b", "c"].map((shortName) => deploy("env.main", "v2", { shortName })),
  );
  assert.equal(outcomes.filter(({ status }) => status === "fulfilled").length, 1);
});

test("what cannot be deployed stores nothing", async (t) => {
  const { database, client, deploy } = await setUp(t);
  const automation = { name: "hourly", spec: { active: true } };
  await assert.rejects(
    client.deployTask({ taskId: taskId("env.main", "v1"), spec: { taskTemplate: {} }, triggers: [automation] }),
    failsWith(Code.Unimplemented, /env\.main has 1 trigger.*nothing was stored/),
  );
  await assert.rejects(
    deploy("env.main", "v1", {}, { project: "nope" }),
    failsWith(Code.NotFound, /project "nope" not found/),
  );
  await assert.rejects(deploy("env.main", "v1", { shortName: "a\0" }), failsWith(Code.InvalidArgument, /NUL/));
  await assert.rejects(
    client.deployTask({ taskId: taskId("env.main", "v1") }),
    failsWith(Code.InvalidArgument, /spec/),
  );
  await assert.rejects(deploy("", "v1"), failsWith(Code.InvalidArgument, /name/));
  const { rows } = await database.query<{ count: bigint }>({
    text: "select (select count(*) from tasks) + (select count(*) from task_specs) as count",
  });
  assert.equal(rows[0]?.count.toString(), "0");
  await assert.rejects(
    client.getTaskDetails({ taskId: taskId("env.main", "v1") }),
    failsWith(Code.NotFound, /env\.main version v1 .*not found/),
  );
  await assert.rejects(client.getTaskDetails({}), failsWith(Code.InvalidArgument, /task_id/));
});

test("fields of a newer contract survive", async (t) => {
  const { client } = await setUp(t);
  const known = toBinary(TaskSpecSchema, create(TaskSpecSchema, { taskTemplate: { type: "python" } }));
  const spec = fromBinary(TaskSpecSchema, Uint8Array.from([...known, 0xfa, 0x06, 0x03, 0x6e, 0x65, 0x77]));
  await client.deployTask({ taskId: taskId("env.main", "v1"), spec });
  const { details } = await client.getTaskDetails({ taskId: taskId("env.main", "v1") });
  assert.deepEqual(
    details?.spec?.$unknown?.map(({ no }) => no),
    [111],
  );
});

type ListInit = MessageInitShape<typeof ListRequestSchema>;
type Known = MessageInitShape<typeof ListTasksRequest_KnownFilterSchema>["filterBy"];

test("ListTasks shows the newest version of each name", async (t) => {
  const asked: string[][] = [];
  const { client, deploy } = await setUp(t, async (names) => {
    asked.push(names.map(({ name }) => name));
    return new Map(
      names
        .filter(({ name }) => name === "b.two")
        .map((name) => [taskNameKey(name), create(LatestRunSummarySchema, { rootTaskName: name.name, phase: 5 })]),
    );
  });
  await deploy("a.one", "v1");
  await deploy("b.two", "v1", { taskTemplate: { metadata: { isEntrypoint: true } } });
  await deploy("a.one", "v0", { shortName: "uno" });
  await deploy("b.three", "v1", {}, { domain: "production" });
  await deploy("c.four", "v1", {}, { project: "other" });

  const list = async (request: ListInit = {}, knownFilters: Known[] = [], project: string | undefined = "shop") => {
    const scopeBy = project
      ? { case: "projectId" as const, value: { name: project, domain: "development" } }
      : { case: "org" as const, value: "" };
    const answer = await client.listTasks({
      request,
      scopeBy,
      knownFilters: knownFilters.map((filterBy) => ({ filterBy })),
    });
    const { total, filteredTotal } = answer.metadata ?? {};
    return {
      tasks: answer.tasks.map((task) => `${task.taskId?.name}:${task.taskId?.version}`),
      totals: [total, filteredTotal],
      token: answer.token,
      answer,
    };
  };
  const filter = (f: Filter_Function, field: string, ...values: string[]) => ({
    filters: [{ function: f, field, values }],
  });

  const all = await list();
  assert.deepEqual(all.tasks, ["a.one:v0", "b.two:v1"]);
  assert.deepEqual(all.totals, [2, 2]);
  assert.equal(all.answer.tasks[0]?.metadata?.shortName, "uno");
  assert.equal(all.answer.tasks[1]?.metadata?.shortName, "two");
  assert.equal(all.answer.tasks[0]?.taskSummary, undefined);
  assert.equal(all.answer.tasks[1]?.taskSummary?.latestRun?.rootTaskName, "b.two");
  assert.deepEqual(asked, [["a.one", "b.two"]]);

  assert.deepEqual((await list({ sortByFields: [{ key: "name", direction: Sort_Direction.DESCENDING }] })).tasks, [
    "b.two:v1",
    "a.one:v0",
  ]);
  assert.deepEqual((await list({ sortBy: { key: "created_at", direction: Sort_Direction.ASCENDING } })).tasks, [
    "b.two:v1",
    "a.one:v0",
  ]);
  const named = await list({ ...filter(F.EQUAL, "name", "a.one"), limit: 1 });
  assert.deepEqual([named.tasks, named.totals, named.token], [["a.one:v0"], [2, 1], ""]);
  assert.deepEqual((await list(filter(F.CONTAINS, "name", "b."))).tasks, ["b.two:v1"]);
  // An older version that would match is not the task any more.
  assert.deepEqual((await list(filter(F.EQUAL, "version", "v1"))).tasks, ["b.two:v1"]);
  assert.deepEqual((await list({}, [{ case: "isEntrypoint", value: true }])).tasks, ["b.two:v1"]);
  assert.deepEqual((await list({}, [{ case: "isEntrypoint", value: false }])).tasks, ["a.one:v0"]);
  assert.deepEqual((await list({}, [{ case: "deployedBy", value: "local" }])).totals, [2, 2]);
  assert.deepEqual((await list({}, [{ case: "deployedBy", value: "else" }])).totals, [2, 0]);
  assert.equal((await list({ limit: 200 }, [], "")).tasks.length, 4);

  const first = await list({ limit: 1 });
  const second = await list({ limit: 1, token: first.token });
  assert.deepEqual([...first.tasks, ...second.tasks, second.token], ["a.one:v0", "b.two:v1", ""]);

  await assert.rejects(
    list(filter(F.EQUAL, "spec", "x")),
    failsWith(Code.InvalidArgument, /filter by "spec"; the fields are .*name/),
  );
  await assert.rejects(list({}, [{ case: undefined }]), failsWith(Code.InvalidArgument, /known filter/));
});

test("ListVersions", async (t) => {
  const { client, deploy } = await setUp(t);
  for (const version of ["v1", "v3", "v2"]) await deploy("a.one", version);
  await deploy("a.two", "v9");
  const list = async (request: ListInit = {}, name = "a.one") => {
    const answer = await client.listVersions({ request, taskName: { project: "shop", domain: "development", name } });
    assert.ok(answer.versions.every(({ deployedAt, deployedBy }) => deployedAt && deployedBy));
    return { versions: answer.versions.map(({ version }) => version), token: answer.token };
  };
  assert.deepEqual((await list()).versions, ["v2", "v3", "v1"]);
  assert.deepEqual((await list({ sortByFields: [{ key: "version", direction: Sort_Direction.ASCENDING }] })).versions, [
    "v1",
    "v2",
    "v3",
  ]);
  const first = await list({ limit: 2 });
  assert.deepEqual(await list({ limit: 2, token: first.token }), { versions: ["v1"], token: "" });
  assert.deepEqual((await list({}, "unknown")).versions, []);
  await assert.rejects(
    list({ sortByFields: [{ key: "name" }] }),
    failsWith(Code.InvalidArgument, /version, created_at/),
  );
  await assert.rejects(client.listVersions({}), failsWith(Code.InvalidArgument, /task_name/));
});
