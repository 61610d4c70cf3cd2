import assert from "node:assert/strict";
import test from "node:test";
import { create } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import { type ActionIdentifier, ActionIdentifierSchema } from "@flyte-ts/contract/flyteidl2/common/identifier_pb.ts";
import { ActionPhase, phaseName, ROOT_ACTION } from "@flyte-ts/core";
import { type Engine, engine, eventually, failure, gated, type Replica, task } from "../queue-service/testing.ts";
import { failsWith } from "../testing.ts";

/** What a parent reads: `name PHASE` for updates, `sentinel` behind the snapshot. */
async function* lines(replica: Replica, parent: ActionIdentifier, signal: AbortSignal): AsyncGenerator<string> {
  for await (const message of replica.updates.children(parent, signal)) {
    if (message.case === "controlMessage") yield "sentinel";
    else yield `${message.value.actionId?.name} ${phaseName(message.value.phase)}`;
  }
}

/** A parent that runs, and a feed of its children that ends with the test. */
async function runningParent(t: { after(hook: () => void): void }, it: Engine) {
  const left = new AbortController();
  t.after(() => left.abort());
  const run = await it.replica.play.run(task("parent"));
  const cluster = await it.cluster({ slots: 1000 });
  await cluster.start(await cluster.leased(run, ROOT_ACTION));
  const parent = create(ActionIdentifierSchema, { run, name: ROOT_ACTION });
  const feed = (by = it.replica) => {
    const stream = lines(by, parent, left.signal);
    return {
      next: async () => (await stream.next()).value,
      async take(count: number) {
        const result = [];
        for (let taken = 0; taken < count; taken++) result.push((await stream.next()).value);
        return result;
      },
    };
  };
  return { run, cluster, play: it.replica.play, feed, left };
}

test("what is there, then the sentinel, then what changes, of this parent's children alone", async (t) => {
  const it = await engine(t);
  const other = await it.another();
  const { run, cluster, play, feed } = await runningParent(t, it);
  for (const name of ["b", "a"]) await play.child(run, name, task("child"));
  await cluster.start(await cluster.leased(run, "a"));
  const feeds = [feed(), feed(other)];
  for (const one of feeds) assert.deepEqual(await one.take(3), ["a RUNNING", "b QUEUED", "sentinel"]);
  await play.child(run, "a-1", task("child"), { parent: "a" });
  await play.child(run, "c", task("child"));
  for (const one of feeds) assert.equal(await one.next(), "c QUEUED");
  await cluster.succeed(await cluster.leased(run, "b"));
  for (const one of feeds) assert.equal(await one.next(), "b SUCCEEDED");
  await play.trace(run, "t", ActionPhase.SUCCEEDED);
  for (const one of feeds) assert.equal(await one.next(), "t SUCCEEDED");
  await it.replica.actions.abort({ actionId: { run, name: "a" } });
  for (const one of feeds) assert.equal(await one.next(), "a ABORTED");
});

test("a parent without children gets the sentinel at once; a run that does not exist is an error", async (t) => {
  const it = await engine(t);
  const { run, feed, left } = await runningParent(t, it);
  assert.equal(await feed().next(), "sentinel");
  const nowhere = create(ActionIdentifierSchema, { run: { ...run, name: "nowhere" }, name: ROOT_ACTION });
  await assert.rejects(
    lines(it.replica, nowhere, left.signal).next(),
    failsWith(Code.Unknown, /nowhere does not exist/),
  );
});

test("an error and an output travel with the end", async (t) => {
  const it = await engine(t);
  const { run, cluster, play, left } = await runningParent(t, it);
  for (const name of ["bad", "good"]) await play.child(run, name, task("child"));
  const error = failure({ recoverable: false, message: "no such column" });
  await cluster.report(await cluster.leased(run, "bad"), [ActionPhase.FAILED], { error, released: true });
  await cluster.succeed(await cluster.leased(run, "good"), "s3://flyte-data/good");
  const parent = create(ActionIdentifierSchema, { run, name: ROOT_ACTION });
  const stream = it.replica.updates.children(parent, left.signal);
  const [bad, good] = [(await stream.next()).value, (await stream.next()).value];
  assert.ok(bad?.case === "actionUpdate" && good?.case === "actionUpdate");
  assert.equal(bad.value.error?.message, "no such column");
  assert.match(good.value.outputUri, /^s3:\/\/flyte-data\/good/);
});

test("a slow reader gets the newest state of each child, and none that is older than one it has", async (t) => {
  const it = await engine(t);
  const { run, cluster, play, feed } = await runningParent(t, it);
  const names = Array.from({ length: 5 }, (_, index) => `c${index}`);
  const slow = feed();
  assert.equal(await slow.next(), "sentinel");
  for (const name of names) await play.child(run, name, task("child"));
  for (const name of names) {
    const lease = await cluster.leased(run, name);
    await cluster.start(lease);
    await cluster.succeed(lease);
  }
  // Five children in three states each were told meanwhile; what is left of that is one line a child.
  assert.deepEqual(
    (await slow.take(5)).sort(),
    names.map((name) => `${name} SUCCEEDED`),
  );
  await play.child(run, "last", task("child"));
  assert.equal(await slow.next(), "last QUEUED");
});

test("a child whose commit lies between the snapshot's subscription and its reading is told", async (t) => {
  const it = await engine(t);
  const gate = gated();
  const late = await it.another(gate.wrap);
  const { run, feed } = await runningParent(t, it);
  gate.close();
  const child = late.play.child(run, "c", task("child"));
  await gate.reached();
  const reader = feed();
  assert.equal(await reader.next(), "sentinel", "it is not committed yet");
  gate.open();
  await child;
  assert.equal(await reader.next(), "c QUEUED");
});

test("no reader misses the end of a child, whenever it comes", async (t) => {
  const it = await engine(t);
  const other = await it.another();
  const { run, cluster, play, feed } = await runningParent(t, it);
  const count = 60;
  const readers: Promise<void>[] = [];
  const read = async (by: Replica) => {
    const over = new Set<unknown>();
    const reader = feed(by);
    while (over.size < count) {
      const [name, phase] = String(await reader.next()).split(" ");
      if (phase === undefined) continue;
      assert.ok(!over.has(name), `${name} is told again after its end`);
      if (phase === "SUCCEEDED") over.add(name);
    }
  };
  const ends: Promise<unknown>[] = [];
  for (let index = 0; index < count; index++) {
    const name = `c${index}`;
    ends.push(play.child(run, name, task("child")).then(async () => cluster.succeed(await cluster.leased(run, name))));
    if (index % 10 === 0) readers.push(read(index % 20 === 0 ? it.replica : other));
    await eventually(() => cluster.leases.length >= index - 10 || undefined);
  }
  await Promise.all([...ends, ...readers]);
});
