import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { WatchRunsRequestSchema } from "@flyte-ts/contract/flyteidl2/workflow/run_service_pb.ts";
import { ActionPhase, ROOT_ACTION } from "@flyte-ts/core";
import type { Database } from "@flyte-ts/platform/postgres";
import { ANOTHER, DOMAIN, eventually, PROJECT, type Replica, type Stage, stage } from "../run-service/testing.ts";
import { watchRuns } from "../run-service/watch-runs.ts";
import { childFeed } from "./action-feed.ts";

const { RUNNING, SUCCEEDED } = ActionPhase;

/** Ends the connection on which the other replica listens. */
async function cutOff(database: Database): Promise<void> {
  await database.query({
    text: `select pg_terminate_backend(pid, 5000) from pg_stat_activity
      where datname = current_database() and application_name = $1`,
    values: [`${ANOTHER} listen`],
  });
}

/** The phases of a run's actions as its listener knows them. */
function listen({ bus }: Replica, runId: bigint): Map<string, number> {
  const versions = new Map<string, number>();
  const known = new Map<string, number>();
  bus.onRun(runId, (changes) => {
    for (const { name, phase, version } of changes) {
      if ((versions.get(name) ?? 0) > version) continue;
      versions.set(name, version);
      known.set(name, phase);
    }
  });
  return known;
}

test("a change committed by one replica is heard on the other", async (t) => {
  const { another, play } = await stage(t);
  const other = await another();
  await play.run("r1");
  const known = listen(other, play.id("r1"));
  await play.report("r1", ROOT_ACTION, RUNNING);
  await eventually(() => known.get(ROOT_ACTION) === RUNNING);
});

test("what was committed while nobody listened is made good", async (t) => {
  const { replica, another, play } = await stage(t);
  const other = await another();
  await play.run("r1");
  await play.child("r1", "child");
  const known = listen(other, play.id("r1"));
  const roots: bigint[] = [];
  let hints = 0;
  other.bus.onRoots((changes) => roots.push(...changes.map(({ runId }) => runId)));
  other.bus.onQueue(() => hints++);
  await cutOff(replica.database);
  await play.report("r1", "child", RUNNING);
  await play.report("r1", ROOT_ACTION, RUNNING);
  await eventually(() => known.get("child") === RUNNING && known.get(ROOT_ACTION) === RUNNING);
  await eventually(() => roots.includes(play.id("r1")) && hints > 0);
});

test("watches of runs and of children go on over a lost connection", async (t) => {
  const { replica, another, play, read } = await stage(t);
  const other = await another();
  await play.run("r1");
  await play.child("r1", "child");
  const request = create(WatchRunsRequestSchema, {
    target: { case: "projectId", value: { name: PROJECT, domain: DOMAIN } },
  });
  const runs = read((signal) => watchRuns(other, request, signal));
  const children = read((signal) =>
    childFeed({ sql: other.database, bus: other.bus }, play.id("r1"), ROOT_ACTION, signal),
  );
  await runs.until((message) => message.runs.length === 0);
  await children.until(({ kind }) => kind === "sentinel");
  await cutOff(replica.database);
  await play.report("r1", "child", RUNNING);
  await play.report("r1", ROOT_ACTION, RUNNING);
  await play.run("r2");
  await children.until((message) => message.kind === "change" && message.change.phase === RUNNING);
  const seen = new Map<string | undefined, number | undefined>();
  while (!(seen.get("r1") === RUNNING && seen.has("r2"))) {
    for (const { action } of (await runs.next()).runs) seen.set(action?.id?.run?.name, action?.status?.phase);
  }
});

/** Fails the readings of changed rows while told to. */
function faulty(database: Database, fails: () => boolean): Database {
  return {
    ...database,
    query: (statement) =>
      statement.name?.startsWith("read-") && fails()
        ? Promise.reject(new Error("the database is away"))
        : database.query(statement),
  };
}

test("a notification whose rows could not be read is made good, however often that fails", async (t) => {
  const { another, play } = await stage(t);
  let failures = 0;
  let away = false;
  const wrap = (database: Database) => faulty(database, () => away && ++failures > 0);
  const other = await another({ wrap, horizonMs: 5 });
  await play.run("r1");
  const known = listen(other, play.id("r1"));
  away = true;
  await play.report("r1", ROOT_ACTION, RUNNING);
  await eventually(() => failures >= 3);
  assert.equal(known.size, 0);
  away = false;
  await eventually(() => known.get(ROOT_ACTION) === RUNNING);
  assert.ok(other.errors.length >= 3);
});

test("a listener that throws keeps nobody else from hearing, and no commit from being answered", async (t) => {
  const { replica, play } = await stage(t);
  await play.run("r1");
  replica.bus.onRun(play.id("r1"), () => {
    throw new Error("bad listener");
  });
  const known = listen(replica, play.id("r1"));
  assert.equal(await play.report("r1", ROOT_ACTION, RUNNING), "applied");
  assert.equal(known.get(ROOT_ACTION), RUNNING);
  assert.match(String(replica.errors[0]), /bad listener/);
});

test("names with the payload's own separators are heard", async (t) => {
  const { another, play } = await stage(t);
  const other = await another();
  await play.run("r1");
  const known = listen(other, play.id("r1"));
  await play.child("r1", "a,b|c:d!ä%");
  await eventually(() => known.has("a,b|c:d!ä%"));
});

test("no gap: the connection is lost again and again while the horizon moves and 300 actions end", async (t) => {
  const { replica, another, play }: Stage = await stage(t);
  const other = await another({ horizonMs: 3 });
  await play.run("r1");
  const names = Array.from({ length: 300 }, (_, n) => `c${n}`);
  const known = listen(other, play.id("r1"));
  let writing = true;
  const cutting = (async () => {
    while (writing) {
      await cutOff(replica.database);
      for (let turns = Math.random() * 200; turns > 0; turns--) await new Promise(setImmediate);
    }
  })();
  for (let from = 0; from < names.length; from += 10) {
    const some = names.slice(from, from + 10);
    await Promise.all(some.map((name) => play.child("r1", name)));
    await Promise.all(some.map((name) => play.report("r1", name, RUNNING)));
    await Promise.all(some.map((name) => play.report("r1", name, SUCCEEDED)));
  }
  writing = false;
  await cutting;
  await eventually(() => names.every((name) => known.get(name) === SUCCEEDED));
});
