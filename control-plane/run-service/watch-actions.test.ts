import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Filter_Function } from "@flyte-ts/contract/flyteidl2/common/list_pb.ts";
import type { EnrichedAction } from "@flyte-ts/contract/flyteidl2/workflow/run_definition_pb.ts";
import {
  type WatchActionsRequestSchema as RequestSchema,
  WatchActionsRequestSchema,
  type WatchActionsResponse,
} from "@flyte-ts/contract/flyteidl2/workflow/run_service_pb.ts";
import { ActionPhase, ROOT_ACTION } from "@flyte-ts/core";
import { DOMAIN, handTimer, PROJECT, type Replica, type StreamReader, stage } from "./testing.ts";
import { type WatchActionsDependencies, watchActions } from "./watch-actions.ts";

const { QUEUED, RUNNING, SUCCEEDED, FAILED } = ActionPhase;

function request(run: string, filter: MessageInitShape<typeof RequestSchema>["filter"] = []) {
  return create(WatchActionsRequestSchema, { runId: { project: PROJECT, domain: DOMAIN, name: run }, filter });
}

const isEmpty = ({ enrichedActions }: WatchActionsResponse) => enrichedActions.length === 0;
const nameOf = ({ action }: EnrichedAction) => action?.id?.name ?? "";
const phaseOf = ({ action }: EnrichedAction) => action?.status?.phase;

/** What a client that folds the stream knows. */
function fold(reader: StreamReader<WatchActionsResponse>) {
  const state = new Map<string, EnrichedAction>();
  return {
    state,
    async step() {
      const message = await reader.next();
      for (const enriched of message.enrichedActions) state.set(nameOf(enriched), enriched);
      return message;
    },
    async until(wanted: () => boolean) {
      while (!wanted()) await this.step();
    },
  };
}

const open = (replica: Replica, more: Partial<WatchActionsDependencies> = {}) => ({ ...replica, ...more });

test("snapshot in order of time with counts over all descendants, its end, then changes with their ancestors", async (t) => {
  const { replica, play, read } = await stage(t);
  await play.run("r1");
  await play.child("r1", "zebra");
  await play.child("r1", "apple", "zebra");
  await play.report("r1", ROOT_ACTION, RUNNING);

  const reader = read((signal) => watchActions(open(replica), request("r1"), signal));
  const snapshot = await reader.next();
  assert.deepEqual(snapshot.enrichedActions.map(nameOf), [ROOT_ACTION, "zebra", "apple"]);
  assert.deepEqual(
    snapshot.enrichedActions.map((one) => one.childrenPhaseCounts),
    [{ [QUEUED]: 2 }, { [QUEUED]: 1 }, {}],
  );
  assert.ok(snapshot.enrichedActions.every(({ meetsFilter }) => meetsFilter));
  assert.ok(isEmpty(await reader.next()), "an empty message ends the snapshot");

  await play.report("r1", "apple", RUNNING);
  const change = await reader.next();
  assert.deepEqual(change.enrichedActions.map(nameOf), [ROOT_ACTION, "zebra", "apple"]);
  assert.deepEqual(change.enrichedActions.map(phaseOf), [RUNNING, QUEUED, RUNNING]);
  assert.deepEqual(change.enrichedActions[0]?.childrenPhaseCounts, { [QUEUED]: 1, [RUNNING]: 1 });

  await play.child("r1", "later");
  const added = await reader.next();
  assert.deepEqual(added.enrichedActions.map(nameOf), [ROOT_ACTION, "later"]);
});

test("filters mark what meets them; ancestors and others come too", async (t) => {
  const { replica, play, read } = await stage(t);
  await play.run("r1");
  await play.child("r1", "one", ROOT_ACTION, { task: "etl.Extract" });
  await play.child("r1", "two", ROOT_ACTION, { task: "etl.load" });
  await play.report("r1", "two", RUNNING);
  const filters = [
    { function: Filter_Function.VALUE_IN, field: "PHASE", values: [String(QUEUED), String(FAILED)] },
    { function: Filter_Function.CONTAINS_CASE_INSENSITIVE, field: "NAME", values: ["eXtr"] },
  ];
  const reader = read((signal) => watchActions(open(replica), request("r1", filters), signal));
  const { enrichedActions } = await reader.next();
  assert.deepEqual(
    enrichedActions.map((one) => [nameOf(one), one.meetsFilter]),
    [
      [ROOT_ACTION, false],
      ["one", true],
      ["two", false],
    ],
  );
});

test("other filters are invalid: another field, another function, a phase that is no number, two names", async (t) => {
  const { replica, play, read } = await stage(t);
  await play.run("r1");
  for (const filter of [
    { function: Filter_Function.EQUAL, field: "task_name", values: ["x"] },
    { function: Filter_Function.EQUAL, field: "phase", values: ["4"] },
    { function: Filter_Function.VALUE_IN, field: "phase", values: ["soon"] },
    { function: Filter_Function.CONTAINS_CASE_INSENSITIVE, field: "name", values: ["a", "b"] },
  ]) {
    const reader = read((signal) => watchActions(open(replica), request("r1", [filter]), signal));
    await assert.rejects(reader.next(), { kind: "invalid" });
  }
});

test("a run that does not exist is not found", async (t) => {
  const { replica, read } = await stage(t);
  const reader = read((signal) => watchActions(open(replica), request("nowhere"), signal));
  await assert.rejects(reader.next(), { kind: "not_found" });
});

test("silence is broken by an empty message each 15 s", async (t) => {
  const { replica, play, read } = await stage(t);
  await play.run("r1");
  const { timer, fire } = handTimer();
  const reader = read((signal) => watchActions(open(replica, { timer }), request("r1"), signal));
  await reader.until(isEmpty);
  for (let beat = 0; beat < 2; beat++) {
    const [message] = await Promise.all([reader.next(), fire(15_000)]);
    assert.ok(isEmpty(message));
  }
});

test("pages of a large run are ordered, and a slow reader gets each action's latest state in few messages", async (t) => {
  const { replica, play, read } = await stage(t);
  await play.run("r1");
  const names = Array.from({ length: 1200 }, (_, n) => `c${n}`);
  await Promise.all(names.map((name) => play.child("r1", name)));
  await play.report("r1", ROOT_ACTION, RUNNING);
  const reader = read((signal) => watchActions(open(replica), request("r1"), signal));
  const client = fold(reader);
  assert.equal((await client.step()).enrichedActions.length, 1000);
  assert.equal((await client.step()).enrichedActions.length, 201);
  assert.ok(isEmpty(await client.step()));
  assert.deepEqual(client.state.get(ROOT_ACTION)?.childrenPhaseCounts, { [QUEUED]: 1200 });

  // The reader does not read meanwhile.
  await Promise.all(names.map((name) => play.report("r1", name, RUNNING)));
  await Promise.all(names.map((name) => play.report("r1", name, SUCCEEDED)));
  let messages = 0;
  while (client.state.get(ROOT_ACTION)?.childrenPhaseCounts[SUCCEEDED] !== 1200) {
    const { enrichedActions } = await client.step();
    assert.ok(enrichedActions.length <= 500);
    messages++;
  }
  assert.ok(messages <= 4, `${messages} messages for 1200 changed actions`);
  assert.ok([...client.state.values()].every((one) => nameOf(one) === ROOT_ACTION || phaseOf(one) === SUCCEEDED));
});

test("no gap: actions that end while watchers of both replicas connect end up as the table has them", async (t) => {
  const { replica, another, play, read } = await stage(t);
  const other = await another();
  await play.run("r1");
  const groups = Array.from({ length: 20 }, (_, n) => `g${n}`);
  await Promise.all(groups.map((name) => play.child("r1", name)));
  const names = Array.from({ length: 500 }, (_, n) => `c${n}`);
  await Promise.all(names.map((name, n) => play.child("r1", name, groups[n % groups.length])));

  const end = async (name: string, n: number) => {
    await play.report("r1", name, RUNNING);
    await play.report("r1", name, n % 10 === 0 ? FAILED : SUCCEEDED, {});
  };
  const ending = (async () => {
    for (let from = 0; from < names.length; from += 25) {
      await Promise.all(names.slice(from, from + 25).map((name, n) => end(name, from + n)));
    }
  })();
  const clients: ReturnType<typeof fold>[] = [];
  for (let n = 0; n < 6; n++) {
    // Somewhere in the middle of the writing, wherever it happens to be.
    for (let turns = Math.random() * 40; turns > 0; turns--) await new Promise(setImmediate);
    const at = n % 2 === 0 ? replica : other;
    clients.push(fold(read((signal) => watchActions(open(at), request("r1"), signal))));
    await clients.at(-1)?.step();
  }
  await ending;
  const { rows } = await replica.database.query<{ name: string; phase: number }>({
    text: "select name, phase from actions where run_id = $1",
    values: [play.id("r1")],
  });
  const truth = new Map(rows.map(({ name, phase }) => [name, phase]));
  const counts = (client: ReturnType<typeof fold>, name: string) => client.state.get(name)?.childrenPhaseCounts ?? {};
  for (const client of clients) {
    await client.until(
      () =>
        [...truth].every(([name, phase]) => {
          const known = client.state.get(name);
          return known !== undefined && phaseOf(known) === phase;
        }) && counts(client, ROOT_ACTION)[SUCCEEDED] === [...truth.values()].filter((p) => p === SUCCEEDED).length,
    );
    assert.equal(client.state.size, truth.size);
    const expected: Record<number, number> = {};
    for (const [name, phase] of truth) if (name !== ROOT_ACTION) expected[phase] = (expected[phase] ?? 0) + 1;
    assert.deepEqual(counts(client, ROOT_ACTION), expected);
  }
  assert.deepEqual([replica.errors, other.errors], [[], []]);
});
