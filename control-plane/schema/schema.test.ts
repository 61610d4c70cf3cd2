import assert from "node:assert/strict";
import test from "node:test";
import { testDatabase } from "@flyte-ts/platform/postgres/testing.ts";
import { migrations } from "../testing.ts";
import { committedSchema, migratedSchema } from "./check.ts";
import { dumpSchema } from "./dump.ts";

test("schema.sql is what the migrations make; `node control-plane/schema/check.ts --write` renews it", async (t) => {
  assert.equal(await committedSchema(), await migratedSchema(t));
});

test("the dump is a schema: a database made from it has the same one", async (t) => {
  const [migrated, made] = [await testDatabase(t, { migrations }), await testDatabase(t)];
  // Tables stand in the order of their names, so what refers to one that comes later is left out here.
  const schema = (await dumpSchema(migrated)).replaceAll(/,\n {2}constraint \S+ FOREIGN KEY [^\n]*?(?=,?\n)/g, "");
  await made.query({ text: schema });
  assert.equal(await dumpSchema(made), schema);
});

test("every column, default, setting and index shows", async (t) => {
  const database = await testDatabase(t);
  await database.query({
    text: `create table things (
        id bigint generated always as identity primary key,
        name text not null default 'x',
        size integer check (size > 0),
        blob bytea,
        unique (name)
      ) with (fillfactor = 70);
      alter table things alter column blob set storage external;
      comment on column things.size is 'in metres';
      create index things_by_size on things (size desc) where size > 3;
      create view big as select id from things where size > 100`,
  });
  const schema = await dumpSchema(database);
  for (const line of [
    "  id bigint not null generated always as identity,",
    "  name text not null default 'x'::text,",
    "  size integer, -- in metres",
    "  blob bytea storage external,",
    "  constraint things_pkey PRIMARY KEY (id),",
    "  constraint things_name_key UNIQUE (name),",
    "  constraint things_size_check CHECK ((size > 0))",
    ") with (fillfactor=70);",
    "CREATE INDEX things_by_size ON things USING btree (size DESC) WHERE (size > 3);",
  ]) {
    assert.ok(schema.split("\n").includes(line), line);
  }
  assert.match(schema, /create view big as/);
});
