import assert from "node:assert/strict";
import { test } from "node:test";
import { create, fromBinary, type MessageInitShape, toBinary } from "@bufbuild/protobuf";
import { Code, createClient } from "@connectrpc/connect";
import { Filter_Function as F, Sort_Direction } from "@flyte-ts/contract/flyteidl2/common/list_pb.ts";
import {
  ProjectSchema,
  ProjectService,
  ProjectState,
} from "@flyte-ts/contract/flyteidl2/project/project_service_pb.ts";
import { AppError } from "@flyte-ts/core";
import { type TestScope, testDatabase } from "@flyte-ts/platform/postgres/testing.ts";
import { failsWith, migrations, testTransport } from "../testing.ts";
import { DEFAULT_DOMAINS, projectService, rememberProjects, requireProject, seedProjects } from "./index.ts";
import { parseProjectFilters } from "./project-filter.ts";

type ProjectInit = MessageInitShape<typeof ProjectSchema>;

async function setUp(t: TestScope) {
  const database = await testDatabase(t, { migrations });
  const client = createClient(
    ProjectService,
    testTransport(({ service }) => void service(ProjectService, projectService({ database }))),
  );
  const add = async (...projects: ProjectInit[]) => {
    for (const project of projects) await client.createProject({ project });
  };
  const list = async (filters = "", more: { limit?: number; token?: string; sort?: string } = {}) => {
    const { limit = 0, token = "", sort } = more;
    const sortBy = sort ? { sortBy: { key: sort, direction: Sort_Direction.ASCENDING } } : {};
    const { projects } = await client.listProjects({ filters, limit, token, ...sortBy });
    return { ids: projects?.projects.map((project) => project.id) ?? [], token: projects?.token ?? "" };
  };
  return { database, client, add, list };
}

test("a project is created, read, changed and archived", async (t) => {
  const { client, add, list } = await setUp(t);
  await add({ id: "shop", name: "The shop", description: "sells", labels: { values: { team: "red" } }, org: "acme" });
  const { project } = await client.getProject({ id: "shop" });
  assert.ok(project);
  assert.equal(project.name, "The shop");
  assert.deepEqual(project.labels?.values, { team: "red" });
  assert.equal(project.state, ProjectState.ACTIVE);
  assert.equal(project.org, "");
  assert.deepEqual(
    project.domains.map(({ id, name }) => ({ id, name })),
    DEFAULT_DOMAINS,
  );

  // As the SDK does it: what was read, changed, with or without the domains.
  await client.updateProject({ project: { ...project, name: "Shop", state: ProjectState.ARCHIVED } });
  const { project: changed } = await client.getProject({ id: "shop" });
  assert.equal(changed?.name, "Shop");
  assert.equal(changed?.description, "sells");
  assert.equal(changed?.domains.length, 3);
  assert.deepEqual((await list()).ids, []);
  assert.deepEqual((await list("eq(state, 1)")).ids, ["shop"]);
});

test("names taken, missing or wrong", async (t) => {
  const { client, add } = await setUp(t);
  await add({ id: "shop" });
  await assert.rejects(add({ id: "shop" }), failsWith(Code.AlreadyExists, /project shop already exists/));
  await assert.rejects(client.getProject({ id: "nope" }), failsWith(Code.NotFound, /project "nope" not found/));
  await assert.rejects(
    client.updateProject({ project: { id: "nope" } }),
    failsWith(Code.NotFound, /project "nope" not found/),
  );
  await assert.rejects(client.createProject({}), failsWith(Code.InvalidArgument, /no id/));
  for (const id of ["", "Shop", "a_b", "-a", "a-", "../etc", "a".repeat(64), "a b", "é"]) {
    await assert.rejects(add({ id }), failsWith(Code.InvalidArgument, /id/));
  }
  await add({ id: "a".repeat(63) }, { id: "0" });
  await assert.rejects(
    add({ id: "b", description: "x".repeat(301) }),
    failsWith(Code.InvalidArgument, /longer than 300/),
  );
  await assert.rejects(add({ id: "b", name: "x".repeat(256) }), failsWith(Code.InvalidArgument, /longer than 255/));
  await assert.rejects(add({ id: "b", name: "a\0" }), failsWith(Code.InvalidArgument, /NUL/));
  await assert.rejects(
    add({ id: "b", state: 9 as ProjectState }),
    failsWith(Code.InvalidArgument, /not a project state/),
  );
});

test("fields of a newer contract survive", async (t) => {
  const { client } = await setUp(t);
  const unknown = Uint8Array.from([0xfa, 0x06, 0x03, 0x6e, 0x65, 0x77]); // field 111, "new"
  const newer = fromBinary(
    ProjectSchema,
    Uint8Array.from([...toBinary(ProjectSchema, create(ProjectSchema, { id: "shop" })), ...unknown]),
  );
  await client.createProject({ project: newer });
  const { project } = await client.getProject({ id: "shop" });
  assert.deepEqual(
    project?.$unknown?.map(({ no }) => no),
    [111],
  );
});

test("lists: filters, order, pages", async (t) => {
  const { client, add, list } = await setUp(t);
  await add(
    { id: "alpha", name: "First", labels: { values: { team: "red" } } },
    { id: "beta", name: "second (b+c)" },
    { id: "gamma", name: "100% third", state: ProjectState.ARCHIVED },
    { id: "delta", name: "fourth", state: ProjectState.SYSTEM_GENERATED },
  );
  assert.deepEqual((await list()).ids, ["alpha", "beta", "delta"]);
  assert.deepEqual((await list("eq(state, 0)")).ids, ["alpha", "beta"]);
  assert.deepEqual((await list("ne(state,1)", { sort: "name" })).ids, ["alpha", "delta", "beta"]);
  assert.deepEqual((await list("contains(name, r)")).ids, ["alpha", "gamma", "delta"]);
  assert.deepEqual((await list("contains(name, (b+c))")).ids, ["beta"]);
  assert.deepEqual((await list("contains(name,%)")).ids, ["gamma"]);
  assert.deepEqual((await list("value_in(identifier, alpha;gamma)+eq(state, 0)")).ids, ["alpha"]);
  assert.deepEqual((await list("eq(labels.team, red)")).ids, ["alpha"]);
  assert.deepEqual((await list("eq(name,' or true)")).ids, []);
  await assert.rejects(list("eq(owner, me)"), failsWith(Code.InvalidArgument, /owner.*identifier, id, name/));
  await assert.rejects(list("eq(state, archived)"), failsWith(Code.InvalidArgument, /whole number/));
  await assert.rejects(list("like(name, x)"), failsWith(Code.InvalidArgument, /cannot be read.*eq, ne/));
  await assert.rejects(list("state=0"), failsWith(Code.InvalidArgument, /cannot be read/));
  await assert.rejects(list("", { sort: "owner" }), failsWith(Code.InvalidArgument, /owner/));
  await assert.rejects(list("", { token: "x" }), failsWith(Code.InvalidArgument, /page token/));

  const first = await list("", { limit: 2 });
  assert.deepEqual(first.ids, ["alpha", "beta"]);
  const second = await list("", { limit: 2, token: first.token });
  assert.deepEqual(second, { ids: ["delta"], token: "" });

  await client.updateProject({ project: { id: "alpha", name: "renamed" } });
  assert.deepEqual((await list("", { sort: "updated_at" })).ids, ["beta", "delta", "alpha"]);
});

test("seeds are created once, also by several replicas at once", async (t) => {
  const { database, client, list } = await setUp(t);
  await Promise.all([1, 2, 3].map(() => seedProjects(database, ["two", "one", "one"])));
  assert.deepEqual((await list()).ids, ["one", "two"]);
  await client.updateProject({ project: { id: "one", name: "changed" } });
  await seedProjects(database, ["one"]);
  assert.equal((await client.getProject({ id: "one" })).project?.name, "changed");
  await seedProjects(database, []);
  await assert.rejects(seedProjects(database, ["Not an id"]), AppError);
});

test("requireProject, with and without memory", async (t) => {
  const { database, add } = await setUp(t);
  const missing = (error: unknown) => error instanceof AppError && error.kind === "not_found";
  const remembered = rememberProjects();
  for (const require of [requireProject, remembered]) await assert.rejects(require(database, "shop"), missing);
  await add({ id: "shop", state: ProjectState.ARCHIVED });
  for (const require of [requireProject, remembered, remembered]) await require(database, "shop");
});

test("the text of filters", () => {
  const read = (text: string) => parseProjectFilters(text).map(({ function: f, field, values }) => [f, field, values]);
  assert.deepEqual(read(" "), []);
  assert.deepEqual(read("eq(a, b)"), [[F.EQUAL, "a", ["b"]]]);
  assert.deepEqual(read("contains(a, x,y)+z) + value_in(b,1; 2)"), [
    [F.CONTAINS, "a", ["x,y)+z"]],
    [F.VALUE_IN, "b", ["1", "2"]],
  ]);
  assert.deepEqual(read("eq(a,)"), [[F.EQUAL, "a", [""]]]);
});
