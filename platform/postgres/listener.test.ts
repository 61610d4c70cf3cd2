import assert from "node:assert/strict";
import test from "node:test";
import { type Database, openDatabase } from "./database.ts";
import { DatabaseUnavailableError } from "./errors.ts";
import { eventually } from "./testing/support.ts";
import { testDatabase } from "./testing.ts";

async function notify(database: Database, channel: string, payload: string): Promise<void> {
  await database.query({ text: "select pg_notify($1, $2)", values: [channel, payload] });
}

async function cutListener(database: Database): Promise<number> {
  const { rowCount } = await database.query({
    text: `select pg_terminate_backend(pid, 5000) from pg_stat_activity
      where datname = current_database() and application_name like '% listen'`,
  });
  return rowCount;
}

test("notifications reach the subscribers of their channel, over one connection", async (t) => {
  const database = await testDatabase(t);
  const got: string[] = [];
  let starts = 0;
  const a = database.listen(
    "a",
    (payload) => got.push(`a1 ${payload}`),
    () => starts++,
  );
  const a2 = database.listen(
    "a",
    (payload) => got.push(`a2 ${payload}`),
    () => starts++,
  );
  await a.ready;
  const odd = database.listen(
    'Odd "name"',
    (payload) => got.push(`odd ${payload}`),
    () => starts++,
  );
  await Promise.all([a2.ready, odd.ready]);
  assert.equal(starts, 3);
  await notify(database, "a", "1");
  await notify(database, 'Odd "name"', "2");
  await eventually(() => got.length === 3);
  assert.deepEqual(got, ["a1 1", "a2 1", "odd 2"]);
  await a.close();
  await a2.close();
  await notify(database, "a", "unheard");
  await notify(database, 'Odd "name"', "3");
  await eventually(() => got.length === 4);
  assert.equal(got[3], "odd 3");
  assert.equal(await cutListener(database), 1);
  await odd.close();
});

test("after a lost connection it listens again and then says so", async (t) => {
  const owner = await testDatabase(t);
  const errors: Error[] = [];
  const database = openDatabase({ url: owner.url, onError: (error) => errors.push(error) });
  const got: string[] = [];
  let starts = 0;
  const onReconnect = () => {
    starts++;
  };
  const subscription = database.listen("a", (payload) => got.push(payload), onReconnect);
  await subscription.ready;
  for (let round = 1; round <= 2; round++) {
    assert.equal(await cutListener(owner), 1);
    await notify(owner, "a", "missed");
    await eventually(() => starts === 1 + round);
    await notify(owner, "a", `round ${round}`);
    await eventually(() => got.at(-1) === `round ${round}`);
  }
  assert.ok(errors.some((error) => error instanceof DatabaseUnavailableError));
  await database.close();
});

test("a subscriber that throws disturbs nobody", async (t) => {
  const owner = await testDatabase(t);
  const errors: Error[] = [];
  const database = openDatabase({ url: owner.url, onError: (error) => errors.push(error) });
  const got: string[] = [];
  const bad = database.listen(
    "a",
    () => {
      throw new Error("bad subscriber");
    },
    () => {},
  );
  const good = database.listen(
    "a",
    (payload) => got.push(payload),
    () => {},
  );
  await Promise.all([bad.ready, good.ready]);
  await notify(owner, "a", "1");
  await eventually(() => got.length === 1);
  assert.match(String(errors[0]), /bad subscriber/);
  await database.close();
});

test("the last subscription takes the connection with it, and a new one brings it back", async (t) => {
  const database = await testDatabase(t);
  for (let round = 0; round < 2; round++) {
    const subscription = database.listen(
      "a",
      () => {},
      () => {},
    );
    await subscription.ready;
    await subscription.close();
  }
  await eventually(async () => (await cutListener(database)) === 0);
});

test("closing ends a subscription to a database that never answered", async () => {
  const database = openDatabase({ url: "postgres://u:p@127.0.0.1:1/x" });
  const subscription = database.listen(
    "a",
    () => {},
    () => {},
  );
  await database.close();
  await subscription.ready;
});
