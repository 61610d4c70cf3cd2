/** The server is killed with everything in flight, and comes back. */
import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { ErrorInfo_Kind } from "@flyte-ts/contract/flyteidl2/workflow/run_definition_pb.ts";
import { executionsIn, notesIn } from "../support/notes.ts";
import { isAlive, kill, postgresPid } from "../support/processes.ts";
import { actionsOf, detailsOf, outputsOf } from "../support/runs.ts";
import { setStage } from "../support/stage.ts";
import { waitFor } from "../support/wait.ts";

const HOLDS = 20;
const NAPS = 200;

test("kill -9 with 20 processes and 200 sleeps in flight: all end, nothing that ran runs again", async (t) => {
  const { server, wire, python, shared } = await setStage(t, { env: { FLYTE_TS_EMBEDDED_SLOTS: "24" } });
  const [run = ""] = await python.submit("crowd", {
    task: "crowd",
    inputs: { folder: shared, holds: HOLDS, naps: NAPS, seconds: 30.5 },
  });
  const inFlight = async () => {
    const running = (await actionsOf(wire, run)).filter(({ phase }) => phase === "RUNNING");
    const notes = await notesIn(shared);
    return (
      running.length >= HOLDS + NAPS + 1 &&
      Object.keys(notes).filter((name) => name.startsWith("hold-")).length === HOLDS
    );
  };
  await waitFor(inFlight, { what: "everything in flight", everyMs: 250, explain: () => server.log() });
  const groups = Object.entries(await notesIn(shared)).flatMap(([name, [group]]) =>
    name.startsWith("hold-") ? [[name, Number(group)] as const] : [],
  );

  const postgres = await postgresPid(server.dataDir);
  assert.ok(postgres, "the database's process is known");
  await server.kill9();
  await waitFor(() => !isAlive(postgres), { what: "the end of PostgreSQL" });
  assert.ok(
    groups.every(([, group]) => isAlive(group)),
    "tasks outlive the server",
  );
  // One dies meanwhile, some get their word while nobody is there to hear the answer.
  const [, dead = 0] = groups.find(([name]) => name === "hold-7") ?? [];
  kill(-dead, "SIGKILL");
  for (const n of [0, 1]) await writeFile(join(shared, `go-${n}`), "");
  await server.start();
  await writeFile(join(shared, "go"), "");

  assert.deepEqual(await outputsOf(wire, run), [1 + (HOLDS * (HOLDS - 1)) / 2]);
  const executions = await executionsIn(shared);
  for (const [name, times] of Object.entries(executions)) {
    if (!name.startsWith("go")) assert.equal(times, name === "hold-7" ? 2 : 1, `executions of ${name}`);
  }
  const rows = await actionsOf(wire, run);
  assert.equal(rows.length, 1 + 2 + HOLDS + NAPS);
  assert.ok(rows.every(({ phase }) => phase === "SUCCEEDED"));
  const retried = rows.filter(({ attempts }) => attempts !== 1);
  assert.deepEqual(
    retried.map(({ task, attempts }) => [task, attempts]),
    [["crowd.hold", 2]],
  );
  const { attempts } = await detailsOf(wire, run, retried[0]?.name);
  assert.equal(attempts[0]?.errorInfo?.kind, ErrorInfo_Kind.SYSTEM, "the lost attempt is a system failure");
});

test("SIGTERM drains and leaves running tasks to the next start", async (t) => {
  const { server, wire, python, shared } = await setStage(t);
  const [run = ""] = await python.submit("crowd", { task: "hold", inputs: { folder: shared, n: 0 } });
  const [group] = await waitFor(async () => (await notesIn(shared))["hold-0"], { what: "the task" });
  assert.equal(await server.stop(), 0);
  assert.ok(isAlive(Number(group)));
  await server.start();
  await writeFile(join(shared, "go"), "");
  assert.deepEqual(await outputsOf(wire, run), [0]);
  assert.equal((await executionsIn(shared))["hold-0"], 1);
  const [root] = await actionsOf(wire, run);
  assert.equal(root?.attempts, 1);
});
