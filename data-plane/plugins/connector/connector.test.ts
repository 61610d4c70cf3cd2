/** The plugin through the executor against the SDK's own connector service. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  ExecutionError_ErrorKind,
  LogContextSchema,
  TaskLogSchema,
} from "@flyte-ts/contract/flyteidl2/core/execution_pb.ts";
import { SimpleType } from "@flyte-ts/contract/flyteidl2/core/types_pb.ts";
import { InputsSchema, OutputsSchema } from "@flyte-ts/contract/flyteidl2/task/common_pb.ts";
import { memoryActionStore } from "../../executor/index.ts";
import { keyOf } from "../../executor/testing/leases.ts";
import { whyNoPython } from "../process/testing/python.ts";
import { until } from "./testing/connector-service.ts";
import { eventsIn, jobLease, type Rig, reasonsIn, rig } from "./testing/rig.ts";

const ATTEMPTS = "s3://flyte-data/p/development/r1";
const outputs = {
  outputs: {
    variables: [{ key: "answer", value: { type: { type: { case: "simple" as const, value: SimpleType.INTEGER } } } }],
  },
};

const integer = (value: bigint) => ({
  value: {
    case: "scalar" as const,
    value: { value: { case: "primitive" as const, value: { value: { case: "integer" as const, value } } } },
  },
});

describe("the SDK's connector service", { skip: whyNoPython() }, () => {
  let parts: Rig;
  before(async () => {
    parts = await rig();
    await parts.service.start();
  });
  after(() => parts[Symbol.asyncDispose]());

  test("create, get, outputs: all that a task gives reaches the connector, all that it answers arrives", async () => {
    await using run = parts.start();
    parts.secrets.set("warehouse/token", "s3cret");
    await parts.objectStore.put(
      "s3://flyte-data/in/inputs.pb",
      toBinary(InputsSchema, create(InputsSchema, { literals: [{ name: "x", value: integer(41n) }] })),
    );
    const lease = jobLease(
      "whole",
      {
        interface: {
          inputs: {
            variables: [{ key: "x", value: { type: { type: { case: "simple", value: SimpleType.INTEGER } } } }],
          },
          ...outputs,
        },
        target: { case: "container", value: { args: ["--out", "{{.outputPrefix}}", "--x", "{{.inputs.x}}"] } },
        securityContext: { secrets: [{ group: "warehouse", key: "token", envVar: "WAREHOUSE_TOKEN" }] },
        custom: { secrets: { api_token: "WAREHOUSE_TOKEN" }, configs: { region: "eu" }, more: 1 },
      },
      { inputUri: "s3://flyte-data/in", labels: { team: "a" }, envs: { MODE: "fast" } },
    );
    run.plane.lease(lease);
    const created = await parts.json("whole-0.created.json");
    assert.deepEqual(created.inputs, { x: "41" });
    assert.equal(created.output_prefix, `${ATTEMPTS}/whole/1`);
    assert.deepEqual(created.args, ["--out", `${ATTEMPTS}/whole/1`, "--x", "41"]);
    assert.deepEqual([created.run, created.labels], ["r1", { team: "a" }]);
    assert.deepEqual(created.kwargs, { api_token: "s3cret", region: "eu" });
    const environment = created.environment as Record<string, string>;
    assert.deepEqual([environment.MODE, environment.ACTION_NAME], ["fast", "whole"]);
    assert.equal(environment._U_EP_OVERRIDE, "http://flyte.test");

    await parts.write("whole-0.next.json", {
      phase: "RUNNING",
      message: "3 of 4 stages",
      links: { Console: "https://jobs.test/whole" },
      custom_info: { cluster: "c1" },
    });
    const key = keyOf(lease);
    await run.plane.until(() => reasonsIn(run.plane.told(key)).includes("CustomInfo"));
    // A renewed secret is used at the next look.
    parts.secrets.set("warehouse/token", "n3w");
    await until(async () => (await parts.json("whole-0.looked.json")).api_token === "n3w");

    await parts.write("whole-0.next.json", { phase: "SUCCEEDED", outputs: { answer: 42 } });
    await run.plane.until(() => run.plane.told(key).released);
    const told = run.plane.told(key);
    assert.deepEqual(told.phases, ["INITIALIZING", "RUNNING", "SUCCEEDED"]);
    assert.equal(told.outputUri, `${ATTEMPTS}/whole/1`);
    const written = fromBinary(OutputsSchema, await parts.objectStore.get(`${told.outputUri}/outputs.pb`));
    assert.deepEqual(
      written.literals.map(({ name, value }) => [name, value?.value]),
      [
        [
          "answer",
          create(OutputsSchema, { literals: [{ name: "answer", value: integer(42n) }] }).literals[0]?.value?.value,
        ],
      ],
    );
    const links = told.reports.flatMap(({ logInfo }) => logInfo.map((bytes) => fromBinary(TaskLogSchema, bytes)));
    assert.deepEqual([links[0]?.name, links[0]?.uri], ["Console", "https://jobs.test/whole"]);
    const context = told.reports.map(({ logContext }) => logContext).find((bytes) => bytes.length > 0);
    assert.equal(context && fromBinary(LogContextSchema, context).connector?.endpoint, parts.service.endpoint);
    assert.deepEqual(
      eventsIn(told).map(({ reason, message }) => [reason, message]),
      [
        ["ConnectorMessage", "3 of 4 stages"],
        ["CustomInfo", '{"cluster":"c1"}'],
      ],
    );
    // No value of a secret is kept, and after the end the note goes.
    await until(async () => (await run.store.list()).length === 0);
    assert.equal(await parts.objectStore.head(`${ATTEMPTS}/whole/1/connector.json`), undefined);
  });

  test("every end of a resource", async () => {
    await using run = parts.start();
    const ends = [
      ["done", { phase: "SUCCEEDED" }, {}, "SUCCEEDED", "", false],
      ["silent", { phase: "SUCCEEDED" }, { interface: outputs }, "FAILED", "OutputsMissing", true],
      ["failed", { phase: "FAILED", message: "no such table" }, {}, "FAILED", "TaskFailedWithError", false],
      ["again", { phase: "RETRYABLE_FAILED", message: "preempted" }, {}, "FAILED", "TaskFailedWithError", true],
      ["stopped", { phase: "ABORTED", message: "by an admin" }, {}, "FAILED", "ResourceAborted", false],
    ] as const;
    for (const [name, next, template] of ends) {
      await parts.write(`${name}-0.next.json`, next);
      run.plane.lease(jobLease(name, template));
    }
    for (const [name, next, , phase, code, recoverable] of ends) {
      const told = run.plane.told(`7/${name}/1`);
      await run.plane.until(() => told.released);
      assert.equal(told.phases.at(-1), phase, name);
      assert.equal(told.error?.code ?? "", code, name);
      if (!told.error) continue;
      assert.equal(told.error.kind, ExecutionError_ErrorKind.USER, name);
      assert.equal(told.error.recoverability === 1, recoverable, name);
      if ("message" in next) assert.match(told.error.message, new RegExp(next.message), name);
    }
  });

  test("outputs that the resource wrote itself", async () => {
    await using run = parts.start();
    await parts.objectStore.put(`${ATTEMPTS}/itself/1/outputs.pb`, toBinary(OutputsSchema, create(OutputsSchema)));
    await parts.write("itself-0.next.json", { phase: "SUCCEEDED" });
    run.plane.lease(jobLease("itself", { interface: outputs }));
    await run.plane.until(() => run.plane.told("7/itself/1").released);
    assert.equal(run.plane.told("7/itself/1").outputUri, `${ATTEMPTS}/itself/1`);
  });

  test("types and versions are those that the connector tells", async () => {
    await using run = parts.start();
    await run.plane.until(() => run.plane.requests.some(({ taskTypes }) => taskTypes.includes("second_job")));
    const second = (name: string, taskTypeVersion: number) =>
      jobLease(name, { type: "second_job", taskTypeVersion }, { taskType: "second_job" });
    run.plane.lease(second("v2", 2));
    run.plane.lease(second("v0", 0));
    await parts.write("v2-0.next.json", { phase: "SUCCEEDED" });
    await run.plane.until(() => run.plane.told("7/v2/1").released && run.plane.told("7/v0/1").released);
    assert.equal(run.plane.told("7/v2/1").phases.at(-1), "SUCCEEDED");
    const { error } = run.plane.told("7/v0/1");
    assert.equal(error?.code, "ConnectorNotFound");
    assert.match(error?.message ?? "", /"second_job" in version 0: they serve it in version 2/);
  });

  test("a connector of one project goes first there, and serves nobody else", async () => {
    const { endpoint } = parts.service;
    await using run = parts.start({
      connectors: [
        { endpoint, taskTypes: ["special"], project: "q" },
        { endpoint: "127.0.0.1:1", project: "q", domain: "development" },
      ],
    });
    run.plane.lease(jobLease("elsewhere", { type: "special" }, { taskType: "special" }));
    await run.plane.until(() => run.plane.told("7/elsewhere/1").released);
    assert.match(run.plane.told("7/elsewhere/1").error?.message ?? "", /not for project p, domain development/);
  });

  test("an exception in the connector's create fails the attempt, to be tried again", async () => {
    await using run = parts.start();
    await parts.write("fail-create", "quota of warehouse");
    run.plane.lease(jobLease("bad-create"));
    await run.plane.until(() => run.plane.told("7/bad-create/1").released);
    await parts.remove("fail-create");
    const { error } = run.plane.told("7/bad-create/1");
    assert.deepEqual(
      [error?.code, error?.kind, error?.recoverability],
      ["ConnectorCreateFailed", ExecutionError_ErrorKind.USER, 1],
    );
    assert.match(error?.message ?? "", /quota of warehouse/);
  });

  test("exceptions in get pass; when they last too long the attempt fails and its resource is deleted", async () => {
    await parts.write("fail-get", "the cloud is away");
    {
      await using run = parts.start();
      run.plane.lease(jobLease("bad-get"));
      await run.plane.until(() => reasonsIn(run.plane.told("7/bad-get/1")).includes("ConnectorTrouble"));
      await parts.remove("fail-get");
      await parts.write("bad-get-0.next.json", { phase: "SUCCEEDED" });
      await run.plane.until(() => run.plane.told("7/bad-get/1").released);
      assert.deepEqual(run.plane.told("7/bad-get/1").phases, ["INITIALIZING", "RUNNING", "SUCCEEDED"]);
    }
    await parts.write("fail-get", "the cloud is away");
    await using run = parts.start({ config: { troubleMs: 100 } });
    run.plane.lease(jobLease("never"));
    await run.plane.until(() => run.plane.told("7/never/1").released);
    await parts.remove("fail-get");
    const { error } = run.plane.told("7/never/1");
    assert.deepEqual([error?.code, error?.kind], ["ConnectorTrouble", ExecutionError_ErrorKind.SYSTEM]);
    assert.match(error?.message ?? "", /the cloud is away/);
    await parts.json("never-0.deleted.json");
  });

  test("a resource that the connector does not know any more is lost", async () => {
    await using run = parts.start();
    run.plane.lease(jobLease("lost"));
    await run.plane.until(() => run.plane.told("7/lost/1").phases.includes("RUNNING"));
    await parts.write("lose", "");
    await run.plane.until(() => run.plane.told("7/lost/1").released);
    await parts.remove("lose");
    const { error } = run.plane.told("7/lost/1");
    assert.deepEqual(
      [error?.code, error?.kind, error?.recoverability],
      ["ResourceLost", ExecutionError_ErrorKind.SYSTEM, 1],
    );
  });

  test("an abort deletes the resource, however often that fails, with the secrets of the task", async () => {
    await using run = parts.start();
    parts.secrets.set("k", "v");
    const lease = jobLease("abort", { custom: { secrets: { token: "k" } } });
    run.plane.lease(lease);
    await run.plane.until(() => run.plane.told("7/abort/1").phases.includes("RUNNING"));
    await parts.write("fail-delete", "still busy");
    run.plane.abort(lease);
    await run.plane.until(() => reasonsIn(run.plane.told("7/abort/1")).includes("ConnectorDeleteFailed"));
    assert.equal(run.plane.told("7/abort/1").released, false);
    await parts.remove("fail-delete");
    await run.plane.until(() => run.plane.told("7/abort/1").released);
    assert.equal(run.plane.told("7/abort/1").phases.at(-1), "ABORTED");
    assert.deepEqual(await parts.json("abort-0.deleted.json"), { token: "v" });
  });

  test("an abort while the resource is being made waits for it and deletes it", async () => {
    await using run = parts.start();
    const lease = jobLease("early");
    await parts.write("slow-create", "");
    run.plane.lease(lease);
    await until(async () => (await parts.read("early-0.creates")) !== undefined);
    run.plane.abort(lease);
    await until(async () => (await run.store.get("7/early/1"))?.ending !== undefined);
    await parts.remove("slow-create");
    await run.plane.until(() => run.plane.told("7/early/1").released);
    await parts.json("early-0.deleted.json");
  });

  test("a resource that cannot be deleted is left behind with a warning, not for ever", async () => {
    await using run = parts.start({ config: { deleteGiveUpMs: 100 } });
    const lease = jobLease("stuck");
    run.plane.lease(lease);
    await run.plane.until(() => run.plane.told("7/stuck/1").phases.includes("RUNNING"));
    await parts.write("fail-delete", "forbidden");
    run.plane.abort(lease);
    await run.plane.until(() => run.plane.told("7/stuck/1").released);
    await parts.remove("fail-delete");
    const left = eventsIn(run.plane.told("7/stuck/1")).find(({ reason }) => reason === "ResourceLeftBehind");
    assert.match(left?.message ?? "", /forbidden.*stuck\/1\/connector\.json/s);
    await until(async () => (await run.store.list()).length === 0);
    assert.notEqual(await parts.objectStore.head(`${ATTEMPTS}/stuck/1/connector.json`), undefined);
  });

  test("max_runtime deletes the resource", async () => {
    await using run = parts.start();
    run.plane.lease(jobLease("long", { metadata: { timeout: { nanos: 50_000_000 } } }));
    await run.plane.until(() => run.plane.told("7/long/1").released);
    assert.equal(run.plane.told("7/long/1").phases.at(-1), "TIMED_OUT");
    await parts.json("long-0.deleted.json");
  });

  test("a restarted executor goes on with the resource, also without its records", async () => {
    const first = parts.start();
    first.plane.lease(jobLease("adopt"));
    await first.plane.until(() => first.plane.told("7/adopt/1").phases.includes("RUNNING"));
    await first.stop();
    await using second = parts.start({ plane: first.plane, store: memoryActionStore() });
    await parts.write("adopt-0.next.json", { phase: "SUCCEEDED" });
    await second.plane.until(() => second.plane.told("7/adopt/1").released);
    assert.equal(second.plane.told("7/adopt/1").phases.at(-1), "SUCCEEDED");
    assert.equal(await parts.read("adopt-0.creates"), "once more\n");
  });

  test("an executor that stops while a resource is being made notes it for the next", async () => {
    const first = parts.start();
    await parts.write("slow-create", "");
    first.plane.lease(jobLease("stopping"));
    await until(async () => (await parts.read("stopping-0.creates")) !== undefined);
    const stopped = first.stop();
    await parts.remove("slow-create");
    await stopped;
    await using second = parts.start({ plane: first.plane });
    await parts.write("stopping-0.next.json", { phase: "SUCCEEDED" });
    await second.plane.until(() => second.plane.told("7/stopping/1").released);
    assert.equal(second.plane.told("7/stopping/1").phases.at(-1), "SUCCEEDED");
    assert.equal(await parts.read("stopping-0.creates"), "once more\n");
  });

  test("a name too long to keep, a secret that is missing, inputs that are missing or too large", async () => {
    await using run = parts.start({ config: { maxRequestBytes: 4096 } });
    const failure = async (lease: ReturnType<typeof jobLease>) => {
      run.plane.lease(lease);
      const told = run.plane.told(keyOf(lease));
      await run.plane.until(() => told.released);
      return [told.error?.code, told.error?.message ?? ""] as const;
    };
    const [noSecret, said] = await failure(jobLease("secretless", { custom: { secrets: { token: "nowhere" } } }));
    assert.equal(noSecret, "SecretNotFound");
    assert.match(said, /`nowhere` as `token`/);
    assert.equal((await failure(jobLease("odd", { custom: { secrets: { token: 7 } } })))[0], "BadTaskSpecification");
    assert.equal((await failure(jobLease("inputless", {}, { inputUri: "s3://flyte-data/none" })))[0], "InputsNotFound");
    await parts.objectStore.put("s3://flyte-data/big/inputs.pb", new Uint8Array(5000));
    assert.equal((await failure(jobLease("big", {}, { inputUri: "s3://flyte-data/big" })))[0], "RequestTooLarge");
    assert.equal((await failure(jobLease("fat", { custom: { text: "x".repeat(5000) } })))[0], "RequestTooLarge");
    await parts.write("padding", String(2 << 20));
    assert.equal((await failure(jobLease("padded")))[0], "ResourceMetaTooLarge");
    await parts.remove("padding");
    await parts.json("padded-0.deleted.json");
  });
});
