import assert from "node:assert/strict";
import { createServer } from "node:net";
import test from "node:test";
import { type Database, openDatabase } from "./database.ts";
import {
  DatabaseUnavailableError,
  isSerializationFailure,
  isUniqueViolation,
  redact,
  TransactionRolledBackError,
} from "./errors.ts";
import { testDatabase } from "./testing.ts";

async function withTable(database: Database): Promise<void> {
  await database.query({ text: "create table item (id int primary key)" });
}

async function ids(database: Database): Promise<number[]> {
  const { rows } = await database.query<{ id: number }>({ text: "select id from item order by id" });
  return rows.map(({ id }) => id);
}

/** Cuts every other connection to this database. */
async function cutOthers(database: Database): Promise<void> {
  const admin = openDatabase({ url: database.url, max: 1 });
  await admin.query({
    text: "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()",
  });
  await admin.close();
}

test("column values arrive in the promised types and go back unchanged", async (t) => {
  const database = await testDatabase(t);
  const when = new Date("2024-05-06T07:08:09.123Z");
  const { rows, rowCount } = await database.query({
    name: "types",
    text: `select $1::int8 as big, $2::bytea as bytes, $3::timestamptz as time, $4::jsonb as json, $5::int8[] as bigs,
      '{}'::int8[] as none, count(*) as count, 1.5::numeric as exact from pg_class where false`,
    values: [2n ** 62n, new Uint8Array([0, 255]), when, { a: [1, null] }, [1n, null, -3n]],
  });
  assert.equal(rowCount, 1);
  const row = rows[0] ?? {};
  assert.equal(row.big, 2n ** 62n);
  assert.deepEqual(row.bytes, Buffer.from([0, 255]));
  assert.deepEqual(row.time, when);
  assert.deepEqual(row.json, { a: [1, null] });
  assert.deepEqual(row.bigs, [1n, null, -3n]);
  assert.deepEqual(row.none, []);
  assert.equal(row.count, 0n);
  assert.equal(row.exact, "1.5");
});

test("a transaction commits what its body did and gives back its value", async (t) => {
  const database = await testDatabase(t);
  await withTable(database);
  const value = await database.transaction(async (sql) => {
    await Promise.all([1, 2, 3].map((id) => sql.query({ text: "insert into item values ($1)", values: [id] })));
    assert.deepEqual(await ids(database), [], "others see nothing before the commit");
    return "done";
  });
  assert.equal(value, "done");
  assert.deepEqual(await ids(database), [1, 2, 3]);
});

test("a body that throws leaves nothing behind, and its error comes through as it is", async (t) => {
  const database = await testDatabase(t);
  await withTable(database);
  const failure = new Error("no");
  const work = database.transaction(async (sql) => {
    await sql.query({ text: "insert into item values (1)" });
    throw failure;
  });
  await assert.rejects(work, (error) => error === failure);
  assert.deepEqual(await ids(database), []);
});

test("a body that hides a failed statement is told that nothing was stored", async (t) => {
  const database = await testDatabase(t);
  await withTable(database);
  const work = database.transaction(async (sql) => {
    await sql.query({ text: "insert into item values (1)" });
    await sql.query({ text: "select 1/0" }).catch(() => {});
  });
  await assert.rejects(work, TransactionRolledBackError);
  assert.deepEqual(await ids(database), []);
});

test("the sql of a transaction is useless after its end", async (t) => {
  const database = await testDatabase(t);
  const sql = await database.transaction(async (inner) => inner);
  assert.throws(() => sql.query({ text: "select 1" }), /has ended/);
});

test("constraint and serialization failures are recognised and stay what they are", async (t) => {
  const database = await testDatabase(t);
  await withTable(database);
  await database.query({ text: "insert into item values (1)" });
  await assert.rejects(
    database.query({ text: "insert into item values (1)" }),
    (error) =>
      isUniqueViolation(error) && !isSerializationFailure(error) && !(error instanceof DatabaseUnavailableError),
  );
  const work = database.transaction(async (sql) => {
    await sql.query({ text: "set transaction isolation level repeatable read" });
    await sql.query({ text: "select * from item" });
    await database.query({ text: "update item set id = 2" });
    await sql.query({ text: "update item set id = 3" });
  });
  await assert.rejects(work, isSerializationFailure);
});

test("connections cut while idle or in a transaction fail as unavailable, and the next call works", async (t) => {
  const database = await testDatabase(t);
  await withTable(database);
  const work = database.transaction(async (sql) => {
    await sql.query({ text: "insert into item values (1)" });
    await cutOthers(database);
    await sql.query({ text: "insert into item values (2)" });
  });
  await assert.rejects(work, DatabaseUnavailableError);
  assert.deepEqual(await ids(database), []);
  await assert.rejects(
    database.query({ text: "select pg_terminate_backend(pg_backend_pid())" }),
    (error) => error instanceof DatabaseUnavailableError && !error.maybeCommitted,
  );
  await database.ping();
});

test("a connection cut during commit says that the outcome is unknown", async (t) => {
  const database = await testDatabase(t);
  await withTable(database);
  await database.query({
    text: `create function cut() returns trigger language plpgsql as $$
        begin perform pg_terminate_backend(pg_backend_pid()); return null; end $$;
      create constraint trigger cut after insert on item deferrable initially deferred for each row execute function cut()`,
  });
  const work = database.transaction((sql) => sql.query({ text: "insert into item values (1)" }));
  await assert.rejects(work, (error) => error instanceof DatabaseUnavailableError && error.maybeCommitted);
  await database.ping();
});

test("a full pool fails as unavailable after the wait, and recovers", async (t) => {
  const owner = await testDatabase(t);
  const database = openDatabase({ url: owner.url, max: 1, connectTimeoutMs: 100 });
  await database.transaction(async () => {
    await assert.rejects(database.ping(), DatabaseUnavailableError);
  });
  await database.ping();
  await database.close();
});

test("a statement over its time is cancelled by the server and the connection goes on", async (t) => {
  const owner = await testDatabase(t);
  const database = openDatabase({ url: owner.url, max: 1, statementTimeoutMs: 50 });
  await assert.rejects(database.query({ text: "select pg_sleep(60)" }), /statement timeout/);
  await database.ping();
  await database.close();
});

test("a refused, a missing and a silent server are all unavailable", async () => {
  const silent = createServer(() => {});
  await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
  const address = silent.address();
  assert.ok(address !== null && typeof address === "object");
  const urls = [
    "postgres://u:p@127.0.0.1:1/x",
    "postgres://u:p@localhost/x?host=/nonexistent-socket-folder",
    `postgres://u:p@127.0.0.1:${address.port}/x`,
  ];
  for (const url of urls) {
    const database = openDatabase({ url, connectTimeoutMs: 200 });
    await assert.rejects(database.query({ text: "select 1" }), DatabaseUnavailableError, url);
    await database.close();
  }
  silent.close();
});

test("a wrong password is not called unavailable", async (t) => {
  const { url } = await testDatabase(t);
  const wrong = new URL(url);
  wrong.password = "wrong";
  const database = openDatabase({ url: wrong.href });
  await assert.rejects(database.ping(), (error) => !(error instanceof DatabaseUnavailableError));
  await database.close();
});

test("ping gives up with its signal's reason", async (t) => {
  const owner = await testDatabase(t);
  const database = openDatabase({ url: owner.url, max: 1 });
  await database.transaction(async () => {
    const reason = new Error("enough");
    const controller = new AbortController();
    const ping = database.ping(controller.signal);
    controller.abort(reason);
    await assert.rejects(ping, (error) => error === reason);
  });
  await assert.rejects(database.ping(AbortSignal.abort()));
  await database.close();
});

test("a closed database answers unavailable and may be closed again", async (t) => {
  const { url } = await testDatabase(t);
  const database = openDatabase({ url });
  await database.ping();
  await database.close();
  await database.close();
  await assert.rejects(database.ping(), DatabaseUnavailableError);
});

test("redact hides passwords wherever a URL may carry them", () => {
  assert.equal(redact("postgres://me:s3cret@host:5432/db?x=1"), "postgres://me:***@host:5432/db?x=1");
  assert.equal(redact("postgresql://me:s3/c@r?et@host/db"), "postgresql://me:***@host/db");
  assert.equal(redact("postgres://me@host/db?password=s3cret&x=1"), "postgres://me@host/db?password=***&x=1");
  assert.equal(redact("postgres://host/db"), "postgres://host/db");
});
