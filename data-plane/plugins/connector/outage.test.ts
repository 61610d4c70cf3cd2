/** Connectors that are away, at every moment: before they told their types, between create and answer, while a job runs. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import type { Readable } from "node:stream";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { ExecutionError_ErrorKind } from "@flyte-ts/contract/flyteidl2/core/execution_pb.ts";
import { memoryActionStore, type Plugin } from "../../executor/index.ts";
import { keyOf } from "../../executor/testing/leases.ts";
import { scriptedControlPlane } from "../../executor/testing/scripted-control-plane.ts";
import { whyNoPython } from "../process/testing/python.ts";
import { until } from "./testing/connector-service.ts";
import { eventsIn, jobLease, type Rig, reasonsIn, rig } from "./testing/rig.ts";

const EXECUTOR = fileURLToPath(new URL("testing/executor-main.ts", import.meta.url));

describe("a connector that is away", { skip: whyNoPython() }, () => {
  let parts: Rig;
  before(async () => {
    parts = await rig();
  });
  after(() => parts[Symbol.asyncDispose]());

  test("attempts of unknown types wait until it has told its types; nobody else takes them", async () => {
    const taken: string[] = [];
    const rest: Plugin = {
      taskTypes: ["*"],
      reconcile(context) {
        taken.push(context.lease.taskType);
        return { transitions: [{ phase: "succeeded", at: context.now }], released: true };
      },
      abort: () => ({ released: true }),
    };
    await using run = parts.start({ others: [rest] });
    run.plane.lease(jobLease("waits"));
    await run.plane.until(() => run.plane.requests.length > 0);
    assert.deepEqual(run.plane.requests[0]?.taskTypes, ["*"]);
    await parts.write("waits-0.next.json", { phase: "SUCCEEDED" });
    await parts.service.start();
    await run.plane.until(() => run.plane.told("7/waits/1").released);
    assert.deepEqual(run.plane.told("7/waits/1").phases, ["INITIALIZING", "RUNNING", "SUCCEEDED"]);
    assert.deepEqual(run.plane.requests.at(-1)?.taskTypes, ["second_job", "test_job", "*"]);
    assert.deepEqual(taken, []);
    await parts.service.kill();
  });

  test("with configured types an attempt says why it waits, and goes on when the connector comes", async () => {
    await using run = parts.start({ config: { taskTypes: ["test_job"] } });
    run.plane.lease(jobLease("patient"));
    await run.plane.until(() => reasonsIn(run.plane.told("7/patient/1")).includes("ConnectorUnreachable"));
    assert.deepEqual(run.plane.told("7/patient/1").phases, ["WAITING_FOR_RESOURCES"]);
    assert.match(eventsIn(run.plane.told("7/patient/1"))[0]?.message ?? "", /ECONNREFUSED/);
    await parts.service.start();
    await parts.write("patient-0.next.json", { phase: "SUCCEEDED" });
    await run.plane.until(() => run.plane.told("7/patient/1").released);
    assert.deepEqual(run.plane.told("7/patient/1").phases, [
      "WAITING_FOR_RESOURCES",
      "INITIALIZING",
      "RUNNING",
      "SUCCEEDED",
    ]);
    assert.equal(reasonsIn(run.plane.told("7/patient/1")).length, 1);
    assert.equal(await parts.read("patient-0.creates"), "once more\n");
  });

  test("killed and started again: running attempts go on, an abort in between is carried out afterwards", async () => {
    await using run = parts.start();
    const leases = ["runs", "dies"].map((name) => jobLease(name));
    for (const lease of leases) run.plane.lease(lease);
    await run.plane.until(() =>
      leases.every((lease) => run.plane.told(`7/${lease.ref?.name}/1`).phases.includes("RUNNING")),
    );
    await parts.service.kill();
    await run.plane.until(() => reasonsIn(run.plane.told("7/runs/1")).includes("ConnectorUnreachable"));
    if (leases[1]) run.plane.abort(leases[1]);
    await until(async () => (await run.store.get("7/dies/1"))?.ending !== undefined);
    await parts.write("runs-0.next.json", { phase: "SUCCEEDED" });
    await parts.service.start();
    await run.plane.until(() => run.plane.told("7/runs/1").released && run.plane.told("7/dies/1").released);
    assert.equal(run.plane.told("7/runs/1").phases.at(-1), "SUCCEEDED");
    assert.equal(run.plane.told("7/dies/1").phases.at(-1), "ABORTED");
    await parts.json("dies-0.deleted.json");
    assert.equal(await parts.read("runs-0.creates"), "once more\n");
  });

  test("killed between create and answer: not asked twice, failed as the system's", async () => {
    await using run = parts.start();
    await parts.write("slow-create", "");
    run.plane.lease(jobLease("torn"));
    await until(async () => (await parts.read("torn-0.creates")) !== undefined);
    await parts.service.kill();
    await parts.remove("slow-create");
    await run.plane.until(() => run.plane.told("7/torn/1").released);
    const { error } = run.plane.told("7/torn/1");
    assert.deepEqual([error?.code, error?.kind], ["ConnectorCreateUncertain", ExecutionError_ErrorKind.SYSTEM]);
    assert.equal(error?.recoverability, 1);
    assert.match(error?.message ?? "", /left behind/);
    await parts.service.start();
    assert.equal(await parts.read("torn-0.creates"), "once more\n");
  });

  test("no answer to create within the time limit: likewise", async () => {
    await using run = parts.start({ config: { createMs: 200 } });
    await parts.write("slow-create", "");
    run.plane.lease(jobLease("slow"));
    await run.plane.until(() => run.plane.told("7/slow/1").released);
    await parts.remove("slow-create");
    assert.equal(run.plane.told("7/slow/1").error?.code, "ConnectorCreateUncertain");
  });

  /** Runs an attempt in an executor of its own until the moment, then kills it. */
  async function killedExecutor(name: string, moment: (child: ChildProcess) => Promise<unknown>): Promise<void> {
    const args = [EXECUTOR, parts.service.endpoint, parts.storeFolder, name];
    const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
    const ended = once(child, "exit");
    await moment(child);
    child.kill("SIGKILL");
    await ended;
  }

  test("an executor killed while a resource runs: the next one goes on with it", async () => {
    await killedExecutor("adopted", ({ stdout }) => once(stdout as Readable, "data"));
    await using run = parts.start();
    await parts.write("adopted-0.next.json", { phase: "SUCCEEDED" });
    run.plane.lease(jobLease("adopted"));
    await run.plane.until(() => run.plane.told("7/adopted/1").released);
    assert.equal(run.plane.told("7/adopted/1").phases.at(-1), "SUCCEEDED");
    assert.equal(await parts.read("adopted-0.creates"), "once more\n");
  });

  test("an executor killed between create and answer: nothing is created twice, and an abort says what may be left", async () => {
    await parts.write("slow-create", "");
    for (const name of ["found", "unwanted"]) {
      await killedExecutor(name, () => until(async () => (await parts.read(`${name}-0.creates`)) !== undefined));
    }
    await parts.remove("slow-create");
    await using run = parts.start();
    run.plane.lease(jobLease("found"));
    await run.plane.until(() => run.plane.told("7/found/1").released);
    assert.equal(run.plane.told("7/found/1").error?.code, "ConnectorCreateUncertain");
    assert.equal(await parts.read("found-0.creates"), "once more\n");

    const unwanted = jobLease("unwanted");
    const store = memoryActionStore();
    const ending = { phase: "aborted", reason: "nobody wants it" } as const;
    const record = { key: keyOf(unwanted), lease: unwanted, transitions: [], details: {}, released: false, ending };
    await store.create(record);
    const plane = scriptedControlPlane();
    plane.lease(unwanted);
    await using _other = parts.start({ plane, store });
    await plane.until(() => plane.told(keyOf(unwanted)).released);
    assert.deepEqual(plane.told(keyOf(unwanted)).phases, ["ABORTED"]);
    assert.deepEqual(reasonsIn(plane.told(keyOf(unwanted))), ["ResourceLeftBehind"]);
  });

  test("a connector that is not configured any more: its attempts say so while they wait for it", async () => {
    const first = parts.start();
    first.plane.lease(jobLease("moved"));
    await first.plane.until(() => first.plane.told("7/moved/1").phases.includes("RUNNING"));
    await first.stop();
    const { endpoint } = parts.service;
    await using second = parts.start({
      plane: first.plane,
      connectors: [{ endpoint, project: "other", taskTypes: ["test_job"] }],
    });
    await second.plane.until(() => reasonsIn(second.plane.told("7/moved/1")).includes("ConnectorNotConfigured"));
  });

  test("two connectors for the same are refused", () => {
    const { endpoint } = parts.service;
    assert.throws(() => parts.start({ connectors: [{ endpoint }, { endpoint }] }), /configured twice/);
  });
});
