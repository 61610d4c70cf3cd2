import assert from "node:assert/strict";
import test from "node:test";
import { AppError } from "@flyte-ts/core";
import type { Database, Sql } from "@flyte-ts/platform/postgres";
import { testDatabase } from "@flyte-ts/platform/postgres/testing.ts";
import { mayBeOneItemsFault, retryingTransaction } from "./retrying-transaction.ts";
import { withCommit } from "./with-commit.ts";

async function table(t: Parameters<typeof testDatabase>[0]): Promise<Database> {
  const database = await testDatabase(t);
  await database.query({ text: "create table counts (name text primary key, n integer not null)" });
  await database.query({ text: "insert into counts values ('a', 0), ('b', 0)" });
  return database;
}

const add = (sql: Sql, name: string) =>
  sql.query({ text: "update counts set n = n + 1 where name = $1", values: [name] });

/** Both transactions hold their first row before either asks for its second one. */
function meeting() {
  const both = Promise.withResolvers<void>();
  let here = 0;
  return () => {
    if (++here === 2) both.resolve();
    return both.promise;
  };
}

for (const waits of ["waits for", "does not wait for"]) {
  test(`a deadlock is over for both when the body ${waits} the statement that fails`, async (t) => {
    const database = await table(t);
    const met = meeting();
    let bodies = 0;
    const both = (first: string, second: string) =>
      retryingTransaction(database, async (sql) => {
        bodies++;
        await add(sql, first);
        await met();
        if (waits === "waits for") await add(sql, second);
        else withCommit(add(sql, second));
      });
    await Promise.all([both("a", "b"), both("b", "a")]);
    const { rows } = await database.query({ text: "select name, n from counts order by name" });
    assert.deepEqual(rows, [
      { name: "a", n: 2 },
      { name: "b", n: 2 },
    ]);
    assert.equal(bodies, 3);
  });
}

test("a deadlock is told as such also when a later statement is the one that is waited for", async (t) => {
  const database = await table(t);
  const met = meeting();
  const both = (first: string, second: string) =>
    retryingTransaction(database, async (sql) => {
      await add(sql, first);
      await met();
      withCommit(add(sql, second));
      await sql.query({ text: "select 1" });
    });
  await Promise.all([both("a", "b"), both("b", "a")]);
  const { rows } = await database.query({ text: "select sum(n)::int as sum from counts" });
  assert.deepEqual(rows, [{ sum: 4 }]);
});

test("a serialization failure is repeated", async (t) => {
  const database = await table(t);
  const met = meeting();
  const increment = () =>
    retryingTransaction(database, async (sql) => {
      await sql.query({ text: "set transaction isolation level serializable" });
      const { rows } = await sql.query<{ sum: number }>({ text: "select sum(n)::int as sum from counts" });
      await met();
      await sql.query({ text: "update counts set n = $1 + 1 where name = 'a'", values: [rows[0]?.sum] });
    });
  await Promise.all([increment(), increment()]);
  const { rows } = await database.query({ text: "select n from counts where name = 'a'" });
  assert.deepEqual(rows, [{ n: 2 }]);
});

test("other errors are not repeated", async (t) => {
  const database = await table(t);
  let bodies = 0;
  const failing = retryingTransaction(database, async (sql) => {
    bodies++;
    await sql.query({ text: "insert into counts values ('a', 1)" });
  });
  await assert.rejects(failing, /duplicate key/);
  assert.equal(bodies, 1);
});

test("a value that no column takes is the caller's fault, whether its statement was waited for or not", async (t) => {
  const database = await table(t);
  const refused = (error: unknown) => {
    assert.ok(error instanceof AppError);
    assert.equal(error.kind, "invalid");
    assert.match(error.message, /holds a value that can not be stored \(.*0x00\)/);
    assert.ok(mayBeOneItemsFault(error));
    return true;
  };
  await assert.rejects(
    retryingTransaction(database, async (sql) => void (await add(sql, "nul \0"))),
    refused,
  );
  await assert.rejects(
    retryingTransaction(database, async (sql) => withCommit(add(sql, "nul \0"))),
    refused,
  );
});
