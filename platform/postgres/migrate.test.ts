import assert from "node:assert/strict";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import test from "node:test";
import { openDatabase } from "./database.ts";
import { MigrationMismatchError, migrate, NewerSchemaError, UnsupportedServerError } from "./migrate.ts";
import { temporaryFolder } from "./testing/support.ts";
import { testDatabase } from "./testing.ts";

async function folderOf(t: test.TestContext, files: Record<string, string>): Promise<string> {
  const folder = await temporaryFolder(t);
  for (const [name, text] of Object.entries(files)) await writeFile(join(folder, name), text);
  return folder;
}

const two = {
  "0001-one.sql": "create table one (id int); insert into one values (1);",
  "0002-two.sql": "create table two (id int);",
};

test("applies what is missing, in order, and then nothing", async (t) => {
  const database = await testDatabase(t);
  const folder = await folderOf(t, two);
  assert.deepEqual(await migrate(database, { folder }), { applied: [1, 2], version: 2 });
  assert.deepEqual(await migrate(database, { folder }), { applied: [], version: 2 });
  await writeFile(join(folder, "0003-three.sql"), "insert into one values (3)");
  assert.deepEqual(await migrate(database, { folder }), { applied: [3], version: 3 });
  assert.equal((await database.query({ text: "select * from one" })).rowCount, 2);
});

test("four replicas that start at once apply each migration once", async (t) => {
  const database = await testDatabase(t);
  const folder = await folderOf(t, {
    "0001-one.sql": "create table one (id int); select pg_sleep(0.1);",
    "0002-two.sql": "insert into one values (1);",
    "0003-three.sql": "insert into one values (2);",
  });
  // One connection each: the lock must not need a second one.
  const replicas = [1, 2, 3, 4].map(() => openDatabase({ url: database.url, max: 1 }));
  const results = await Promise.all(replicas.map((replica) => migrate(replica, { folder })));
  assert.deepEqual(results.flatMap(({ applied }) => applied).sort(), [1, 2, 3]);
  assert.ok(results.every(({ version }) => version === 3));
  assert.equal((await database.query({ text: "select * from one" })).rowCount, 2);
  await Promise.all(replicas.map((replica) => replica.close()));
});

test("a failing migration leaves the ones before it and nothing of itself", async (t) => {
  const database = await testDatabase(t);
  const folder = await folderOf(t, { ...two, "0003-bad.sql": "create table three (id int); select 1/0;" });
  await assert.rejects(migrate(database, { folder }), /division by zero/);
  const { rows } = await database.query({
    text: "select max(version) as version, to_regclass('three') as three from schema_migrations",
  });
  assert.deepEqual(rows, [{ version: 2, three: null }]);
});

test("a newer schema is refused with both versions and what to do", async (t) => {
  const database = await testDatabase(t);
  const folder = await folderOf(t, two);
  await migrate(database, { folder });
  await rm(join(folder, "0002-two.sql"));
  await assert.rejects(migrate(database, { folder }), (error) => {
    assert.ok(error instanceof NewerSchemaError);
    assert.deepEqual([error.found, error.newestKnown], [2, 1]);
    assert.match(error.message, /version 2.*up to 1.*Start the newer flyte-ts/);
    return true;
  });
});

test("an edited migration is refused by name", async (t) => {
  const database = await testDatabase(t);
  const folder = await folderOf(t, two);
  await migrate(database, { folder });
  await writeFile(join(folder, "0001-one.sql"), "create table one (id bigint)");
  await assert.rejects(migrate(database, { folder }), (error) => {
    assert.ok(error instanceof MigrationMismatchError);
    assert.match(error.message, /Migration 1 \(one\) was edited/);
    return true;
  });
});

test("gaps, doubles and odd names in the folder are refused before anything runs", async (t) => {
  const database = await testDatabase(t);
  for (const name of ["0003-gap.sql", "0002-double.sql", "2-short.sql", "0003_underscore.sql"]) {
    const folder = await folderOf(t, { ...two, ...(name.includes("gap") ? { "0004-gap.sql": "" } : { [name]: "" }) });
    await assert.rejects(migrate(database, { folder }), MigrationMismatchError, name);
  }
  const { rows } = await database.query({ text: "select to_regclass('schema_migrations') as found" });
  assert.deepEqual(rows, [{ found: null }]);
});

test("a server older than 15 is refused with its version", async (t) => {
  const owner = await testDatabase(t);
  // A function that shadows the built-in one makes this server say that it is an old one.
  await owner.query({
    text: `create schema old;
      create function old.current_setting(name text) returns text language sql as
        $$ select case name when 'server_version_num' then '140012' else '14.12' end $$`,
  });
  const url = new URL(owner.url);
  url.searchParams.set("options", "-c search_path=old,pg_catalog,public");
  const database = openDatabase({ url: url.href });
  const folder = await folderOf(t, two);
  await assert.rejects(migrate(database, { folder }), (error) => {
    assert.ok(error instanceof UnsupportedServerError);
    assert.match(error.message, /PostgreSQL 14\.12.*needs 15/);
    return true;
  });
  await database.close();
});
