/** The database goes away under a run, and comes back. */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Code, ConnectError } from "@connectrpc/connect";
import { ownDatabase } from "../support/database.ts";
import { executionsIn } from "../support/notes.ts";
import { actionsOf, outputsOf } from "../support/runs.ts";
import { setStage } from "../support/stage.ts";
import { waitFor } from "../support/wait.ts";
import { actionId, domain, project, runId } from "../support/wire.ts";

const AWAY_MS = 20_000;

test("20 s without a database: calls say UNAVAILABLE, the server lives, the run in flight ends", async (t) => {
  const database = await ownDatabase(t);
  const { server, wire, python, shared } = await setStage(t, { args: ["--database-url", database.url()] });
  const [run = ""] = await python.submit("crowd", {
    task: "crowd",
    inputs: { folder: shared, holds: 3, naps: 5, seconds: 5.5 },
  });
  const started = async () => Object.keys(await executionsIn(shared)).filter((name) => name.startsWith("hold-"));
  await waitFor(async () => (await started()).length === 3, { what: "three running tasks" });
  const ready = async () => (await fetch(`${server.url}/readyz`)).status;
  assert.equal(await ready(), 200);

  await database.stop();
  const away = performance.now();
  assert.equal(await ready(), 503);
  assert.equal((await fetch(`${server.url}/healthz`)).status, 200);
  const calls: Record<string, () => Promise<unknown>> = {
    getRunDetails: () => wire.runs.getRunDetails({ runId: runId("no-such-run") }),
    listRuns: () =>
      wire.runs.listRuns({ scopeBy: { case: "projectId", value: { organization: "", name: project, domain } } }),
    abortRun: () => wire.runs.abortRun({ runId: runId("no-such-run") }),
    getActionDetails: () => wire.runs.getActionDetails({ actionId: actionId("no-such-run") }),
  };
  for (const [name, call] of Object.entries(calls)) {
    const error = await call().then(
      () => undefined,
      (reason: unknown) => ConnectError.from(reason),
    );
    assert.equal(error?.code, Code.Unavailable, `${name}: ${error?.message}`);
  }
  // A task ends meanwhile, and its end must not be lost.
  await writeFile(join(shared, "go-0"), "");
  await sleep(AWAY_MS - (performance.now() - away));
  assert.equal(await ready(), 503);

  await database.start();
  await waitFor(async () => (await ready()) === 200, { what: "a ready server" });
  await writeFile(join(shared, "go"), "");
  assert.deepEqual(await outputsOf(wire, run), [1 + 3]);
  for (const [name, times] of Object.entries(await executionsIn(shared))) {
    if (!name.startsWith("go")) assert.equal(times, 1, `executions of ${name}`);
  }
  const rows = await actionsOf(wire, run);
  assert.ok(rows.every(({ phase, attempts }) => phase === "SUCCEEDED" && attempts === 1));
});
