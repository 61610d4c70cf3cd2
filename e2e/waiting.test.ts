/** What is stopped, what waits for a person, what times out, and what a cache answers. */
import assert from "node:assert/strict";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { CatalogCacheStatus } from "@flyte-ts/contract/flyteidl2/core/catalog_pb.ts";
import { processesWithin } from "./support/processes.ts";
import { actionsOf, childrenOf, detailsOf, ended, errorOf, outputsOf } from "./support/runs.ts";
import { setStage } from "./support/stage.ts";
import { waitFor } from "./support/wait.ts";
import { actionId, runId } from "./support/wire.ts";

const stage = await setStage({ after });
const { wire, shared: folder } = stage;
const [aborted = "", enough = "", asks = "", tokens = "", long = ""] = await stage.python.submit(
  "waiting",
  { task: "beats", inputs: { folder, n: 2 } },
  { task: "one_is_enough", inputs: { folder } },
  { task: "ask", inputs: { seconds: 1.5 } },
  { task: "tokens", inputs: { key: "k" } },
  { task: "too_long" },
);

test("an aborted run takes its children and their processes with it, and keeps the reason", async () => {
  for (const n of [0, 1]) await waitFor(() => beats(n), { what: `a sign of life of child ${n}` });
  await wire.runs.abortRun({ runId: runId(aborted), reason: "enough ✨" });
  assert.equal(await ended(wire, aborted), "ABORTED");
  assert.deepEqual(
    (await actionsOf(wire, aborted)).map(({ phase }) => phase),
    ["ABORTED", "ABORTED", "ABORTED"],
  );
  const { result } = await detailsOf(wire, aborted);
  assert.equal(result.case === "abortInfo" && result.value.reason, "enough ✨");
  for (const n of [0, 1]) {
    await waitFor(async () => (await pulse(n)) === 0, { what: `the end of child ${n}'s process` });
  }
  // Harmless on a run that has ended.
  await wire.runs.abortRun({ runId: runId(aborted), reason: "again" });
  assert.equal(await ended(wire, aborted), "ABORTED");
});

test("a child that is cancelled, and one aborted from outside: the parent goes on", async () => {
  for (const n of [10, 11]) await waitFor(() => beats(n), { what: `a sign of life of child ${n}` });
  const child = await waitFor(
    async () => {
      const open = (await childrenOf(wire, enough)).filter(({ ended: over }) => !over);
      return open.length === 1 ? open[0] : undefined;
    },
    { what: "the end of the cancelled child" },
  );
  await wire.runs.abortAction({ actionId: actionId(enough, child.name), reason: "from outside" });
  assert.deepEqual(await outputsOf(wire, enough), ["went on"]);
  assert.deepEqual(
    (await childrenOf(wire, enough)).map(({ phase }) => phase),
    ["ABORTED", "ABORTED"],
  );
});

test("a condition waits for its answer; an unanswered one times out", async () => {
  const open = await waitFor(
    async () => (await childrenOf(wire, asks)).find(({ task, phase }) => task === "approval" && phase === "PAUSED"),
    { what: "the question" },
  );
  const said = await stage.python.flyte("signal", "condition", asks, open.name, "true");
  assert.equal(said.code, 0, said.stderr);
  assert.deepEqual(await outputsOf(wire, asks), [["True", "timed out"]]);
  const phases = (await childrenOf(wire, asks)).map(({ task, kind, phase }) => [task, kind, phase]);
  assert.deepEqual(phases, [
    ["approval", "condition", "SUCCEEDED"],
    ["never", "condition", "TIMED_OUT"],
  ]);
});

test("a cached task answers equal inputs, in its run and in the next", async () => {
  const [first] = (await outputsOf(wire, tokens)) as [string[]];
  assert.equal(first[0], first[1], "an ignored input makes no difference");
  assert.notEqual(first[0], first[2]);
  const [again = ""] = await stage.python.submit("waiting", { task: "tokens", inputs: { key: "k" } });
  assert.deepEqual(await outputsOf(wire, again), [first]);
  const hits = (await childrenOf(wire, again)).map(({ cacheStatus }) => cacheStatus);
  assert.deepEqual(hits, Array(3).fill(CatalogCacheStatus.CACHE_HIT));
});

test("an attempt that runs too long is stopped", async () => {
  assert.equal(await ended(wire, long), "TIMED_OUT");
  assert.match((await errorOf(wire, long))?.code ?? "", /MAX_RUNTIME/i);
});

test("nothing is left running", async () => {
  await waitFor(async () => (await processesWithin(join(stage.server.dataDir, "work"))).length === 0, {
    what: "the end of all task processes",
  });
});

async function beats(n: number): Promise<number> {
  return (await stat(join(folder, `beat-${n}`))).size;
}

/** Beats within half a second; the task beats five times in it. */
async function pulse(n: number): Promise<number> {
  const before = await beats(n);
  await sleep(500);
  return (await beats(n)) - before;
}
