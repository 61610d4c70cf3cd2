/** Attempts that die: what is run again, what is not, and what the next attempt finds. */
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { executionsIn } from "./support/notes.ts";
import { actionsOf, childrenOf, detailsOf, ended, errorOf, outputsOf } from "./support/runs.ts";
import { setStage } from "./support/stage.ts";

const stage = await setStage({ after });
const folder = stage.shared;
const [crash = "", raises = "", never = "", checkpoint = ""] = await stage.python.submit(
  "durable",
  { task: "crashing_parent", inputs: { folder } },
  { task: "raises_first", inputs: { folder } },
  { task: "never_again", inputs: { folder } },
  { task: "counts_on" },
);
const runs = { crash, raises, never, checkpoint };

test("a parent that dies twice finds its children and traces again; none runs twice", async () => {
  assert.deepEqual(await outputsOf(stage.wire, runs.crash), [33]);
  const [root, ...children] = await actionsOf(stage.wire, runs.crash);
  assert.equal(root?.attempts, 3);
  assert.equal(children.filter(({ kind }) => kind === "trace").length, 3);
  assert.equal(children.filter(({ task }) => task === "durable.step").length, 3);
  assert.ok(children.every(({ phase, attempts }) => phase === "SUCCEEDED" && attempts <= 1));
  const executions = await executionsIn(stage.shared);
  assert.equal(executions.parent, 3);
  for (const n of [0, 1, 2]) {
    assert.equal(executions[`step-${n}`], 1, `step ${n}`);
    assert.equal(executions[`traced-${n}`], 1, `trace ${n}`);
  }
});

test("an exception is retried within the task's budget, and each attempt is kept", async () => {
  assert.deepEqual(await outputsOf(stage.wire, runs.raises), [1]);
  assert.equal((await executionsIn(stage.shared)).raises_first, 2);
  const { attempts } = await detailsOf(stage.wire, runs.raises);
  assert.deepEqual(
    attempts.map(({ attempt, errorInfo }) => [attempt, errorInfo?.code]),
    [
      [1, "RuntimeError"],
      [2, undefined],
    ],
  );
});

test("a non-recoverable error ends the action in spite of its budget", async () => {
  assert.equal(await ended(stage.wire, runs.never), "FAILED");
  assert.equal((await errorOf(stage.wire, runs.never))?.code, "NonRecoverableError");
  assert.equal((await executionsIn(stage.shared)).never_again, 1);
});

test("an attempt goes on from the checkpoint of the one before", async () => {
  assert.deepEqual(await outputsOf(stage.wire, runs.checkpoint), [3]);
  assert.deepEqual(await childrenOf(stage.wire, runs.checkpoint), []);
});
