/** Real processes through the executor: results, exit codes, environment, logs, aborts. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import {
  ContainerError_Kind,
  ErrorDocumentSchema,
  ExecutionError_ErrorKind,
} from "@flyte-ts/contract/flyteidl2/core/execution_pb.ts";
import { InputsSchema, OutputsSchema } from "@flyte-ts/contract/flyteidl2/task/common_pb.ts";
import { type FileStore, StoreUnavailableError } from "@flyte-ts/platform/object-store";
import { keyOf, leaseOf, shellLease } from "../../executor/testing/leases.ts";
import { processesWith } from "./process-table.ts";
import { host } from "./testing/host.ts";

const outputs = { outputs: { variables: [{ key: "o0", value: {} }] } };

test("exit status to phase, code and kind", async (t) => {
  await using machine = await host(t);
  const cases: [
    name: string,
    script: string,
    declares: boolean,
    phase: string,
    code: string,
    kind: ExecutionError_ErrorKind,
  ][] = [
    ["zero", "exit 0", false, "SUCCEEDED", "", ExecutionError_ErrorKind.UNKNOWN],
    ["zero-outputs", "exit 0", true, "FAILED", "OutputsMissing", ExecutionError_ErrorKind.USER],
    ["one", "echo oh no; exit 1", false, "FAILED", "ExitCode1", ExecutionError_ErrorKind.USER],
    ["two", "exit 2", true, "FAILED", "ExitCode2", ExecutionError_ErrorKind.USER],
    ["not-found", "no-such-program-anywhere", false, "FAILED", "ExitCode127", ExecutionError_ErrorKind.USER],
    ["abrt", "kill -ABRT $$", false, "FAILED", "SIGABRT", ExecutionError_ErrorKind.USER],
    ["killed", "kill -KILL $$", false, "FAILED", "Interrupted", ExecutionError_ErrorKind.SYSTEM],
    ["term", "kill -TERM $$", false, "FAILED", "Interrupted", ExecutionError_ErrorKind.SYSTEM],
    ["wrapper", "kill -KILL $PPID; sleep 60", false, "FAILED", "Interrupted", ExecutionError_ErrorKind.SYSTEM],
  ];
  for (const [name, script, declares] of cases) {
    machine.plane.lease(shellLease(name, script, { template: declares ? { interface: outputs } : {} }));
  }
  for (const [name, script, , phase, code, kind] of cases) {
    const told = await machine.released(keyOf(shellLease(name, script)));
    assert.deepEqual(told.phases, ["RUNNING", phase], name);
    assert.equal(told.error?.code ?? "", code, name);
    assert.equal(told.error?.kind ?? ExecutionError_ErrorKind.UNKNOWN, kind, name);
  }
  assert.match(machine.plane.told("7/one/1").error?.message ?? "", /exit code 1; its last log lines:\noh no/);
});

test("error.pb comes first, then outputs.pb whatever the exit status", async (t) => {
  await using machine = await host(t);
  const error = create(ErrorDocumentSchema, {
    error: {
      code: "ValueError",
      message: "it is what it is",
      kind: ContainerError_Kind.NON_RECOVERABLE,
      origin: ExecutionError_ErrorKind.USER,
    },
  });
  const base = "s3://flyte-data/p/development/r1";
  await machine.objectStore.put(`${base}/both/1/error.pb`, toBinary(ErrorDocumentSchema, error));
  await machine.objectStore.put(`${base}/both/1/outputs.pb`, toBinary(OutputsSchema, create(OutputsSchema)));
  await machine.objectStore.put(`${base}/late-crash/1/outputs.pb`, toBinary(OutputsSchema, create(OutputsSchema)));
  await machine.objectStore.put(`${base}/garbage/1/error.pb`, Buffer.from("not a message"));
  machine.plane.lease(shellLease("both", "exit 0"));
  machine.plane.lease(shellLease("late-crash", "exit 134"));
  machine.plane.lease(shellLease("garbage", "exit 0"));

  const both = await machine.released("7/both/1");
  assert.deepEqual(both.phases, ["RUNNING", "FAILED"]);
  assert.equal(both.error?.code, "ValueError");
  assert.equal(both.error?.recoverability, ContainerError_Kind.NON_RECOVERABLE);
  const crash = await machine.released("7/late-crash/1");
  assert.deepEqual(crash.phases, ["RUNNING", "SUCCEEDED"]);
  assert.equal(crash.outputUri, `${base}/late-crash/1`);
  const garbage = await machine.released("7/garbage/1");
  assert.match(garbage.error?.message ?? "", /cannot be read/);
});

test("what can never start fails at once and names it", async (t) => {
  await using machine = await host(t);
  const program = (name: string, ...command: string[]) =>
    leaseOf({ name, template: { target: { case: "container", value: { command } } } });
  machine.plane.lease(program("missing", "/no/such/program", "x"));
  machine.plane.lease(program("python", "a0", "--inputs", "x"));
  machine.plane.lease(program("huge", "/bin/echo", "x".repeat(3_000_000)));
  machine.plane.lease(program("input", "/bin/echo", "{{.inputs.absent}}"));
  machine.plane.lease(leaseOf({ name: "nothing", taskType: "never-heard-of" }));
  const message = async (name: string) => {
    const told = await machine.released(`7/${name}/1`);
    assert.deepEqual(told.phases, ["FAILED"], name);
    return `${told.error?.code}: ${told.error?.message}`;
  };
  assert.match(await message("missing"), /CommandNotFound: .*\/no\/such\/program/);
  assert.match(await message("python"), /PythonNotFound: .*a0/);
  assert.match(await message("huge"), /BadTaskSpecification: .*larger than this system allows/);
  assert.match(await message("input"), /BadTaskSpecification: .*`absent`/);
  assert.match(await message("nothing"), /BadTaskSpecification: .*never-heard-of/);
});

test("the process sees its own folder, a clean environment, and filled templates", async (t) => {
  await using machine = await host(t);
  process.env.FLYTECTL_CONFIG = "/must/not/leak";
  t.after(() => delete process.env.FLYTECTL_CONFIG);
  const literal = (value: bigint) =>
    ({
      value: { case: "scalar", value: { value: { case: "primitive", value: { value: { case: "integer", value } } } } },
    }) as const;
  const inputs = create(InputsSchema, { literals: [{ name: "n", value: literal(42n) }] });
  await machine.objectStore.put("s3://flyte-data/in/inputs.pb", toBinary(InputsSchema, inputs));
  machine.plane.lease(
    leaseOf({
      name: "env",
      attempt: 2,
      inputUri: "s3://flyte-data/in",
      envs: { COLOUR: "run", RUN_NAME: "nobody can replace it" },
      template: {
        target: {
          case: "container",
          value: {
            command: ["/bin/sh", "-c", 'echo "args $*"; env; pwd; echo made > here.txt'],
            args: ["name", "{{.inputs.n}}", "{{.OutputPrefix}}", "{{.prevcheckpointprefix}}", "{{.unknown}}"],
            env: [
              { key: "COLOUR", value: "task" },
              { key: "SHAPE", value: "round" },
              { key: "_U_EP_OVERRIDE", value: "elsewhere" },
            ],
          },
        },
      },
    }),
  );
  const told = await machine.released("7/env/2");
  assert.deepEqual(told.phases, ["RUNNING", "SUCCEEDED"]);
  const text = await machine.logText("s3://flyte-data/p/development/r1/env/2");
  const base = "s3://flyte-data/p/development/r1/env";
  assert.match(text, new RegExp(`args 42 ${base}/2 ${base}/1/_flytecheckpoints \\{\\{.unknown\\}\\}`));
  for (const line of [
    "COLOUR=run",
    "SHAPE=round",
    "RUN_NAME=r1",
    "ACTION_NAME=env",
    "FLYTE_ATTEMPT_NUMBER=1",
    "_U_RUN_BASE=s3://flyte-data/p/development/r1/",
    "_U_ORG_NAME=local",
    "_U_USE_ACTIONS=1",
    "_U_EP_OVERRIDE=localhost:1",
    "FLYTE_INTERNAL_EXECUTION_PROJECT=p",
    "FLYTE_INTERNAL_EXECUTION_DOMAIN=development",
  ]) {
    assert.ok(text.split("\n").includes(line), `${line} is in the environment`);
  }
  assert.doesNotMatch(text, /FLYTECTL_CONFIG|NODE_/);
  assert.match(text, /attempts\/7\/env\/2\/work\n/);
  await machine.gone("7/env/2");
});

test("an abort ends the whole group, grandchildren and runaways too", async (t) => {
  await using machine = await host(t);
  const marker = join(machine.dataDir, "marker");
  const lease = shellLease(
    "tree",
    `setsid sh -c 'trap "" TERM; touch ${marker}; while :; do sleep 1; done' &
     sh -c 'sleep 300 & wait' & trap '' TERM; wait`,
  );
  machine.plane.lease(lease);
  await machine.eventually(() => existsSync(marker));
  const launch = JSON.parse(await readFile(join(machine.dataDir, "attempts/7/tree/1/launch.json"), "utf8"));
  assert.ok((await processesWith(launch.token)).length >= 4);
  machine.plane.abort(lease);
  const told = await machine.released("7/tree/1");
  assert.deepEqual(told.phases, ["RUNNING", "ABORTED"]);
  assert.deepEqual(await processesWith(launch.token), []);
});

test("what a task leaves running in the background ends with it", async (t) => {
  await using machine = await host(t);
  const marker = join(machine.dataDir, "pid");
  machine.plane.lease(shellLease("bg", `sleep 300 & echo $! > ${marker}`));
  await machine.released("7/bg/1");
  const pid = Number(await readFile(marker, "utf8"));
  await machine.eventually(() => !alive(pid));
});

test("an abort before the lease, and of an attempt nobody knows, is answered at once and never started", async (t) => {
  await using machine = await host(t);
  const marker = join(machine.dataDir, "ran");
  const lease = shellLease("early", `touch ${marker}`);
  await machine.connected();
  machine.plane.abort(lease);
  await machine.released("7/early/1");
  machine.plane.lease(lease);
  await machine.plane.until(() => machine.plane.told("7/early/1").reports.length >= 2);
  assert.equal(existsSync(marker), false);
});

test("max_runtime ends a process as timed out", async (t) => {
  await using machine = await host(t);
  machine.plane.lease(shellLease("slow", "sleep 300", { template: { metadata: { timeout: { nanos: 300_000_000 } } } }));
  const told = await machine.released("7/slow/1");
  assert.deepEqual(told.phases, ["RUNNING", "TIMED_OUT"]);
  assert.equal(told.error?.code, "MAX_RUNTIME_EXCEEDED");
});

test("CPU time and peak memory are reported", async (t) => {
  await using machine = await host(t);
  machine.plane.lease(shellLease("busy", "i=0; while [ $i -lt 400000 ]; do i=$((i+1)); done"));
  const told = await machine.released("7/busy/1");
  const usage = told.reports.at(-1)?.usage;
  assert.ok((usage?.userCpu?.nanos ?? 0) > 0 || (usage?.userCpu?.seconds ?? 0n) > 0n);
});

test("a machine that cannot make an attempt's folder: the action's error says why, others go on", async (t) => {
  const dataDir = await mkdtemp(join(tmpdir(), "flyte-ts-process-"));
  t.after(() => rm(dataDir, { recursive: true, force: true }));
  await mkdir(join(dataDir, "attempts", "7"), { recursive: true });
  await writeFile(join(dataDir, "attempts", "7", "blocked"), "a file where a folder must be");
  await using machine = await host(t, { dataDir });
  machine.plane.lease(shellLease("blocked", "exit 0"));
  machine.plane.lease(shellLease("free", "exit 0"));
  assert.deepEqual((await machine.released("7/free/1")).phases, ["RUNNING", "SUCCEEDED"]);
  const told = await machine.released("7/blocked/1");
  assert.deepEqual(told.phases, ["FAILED"]);
  assert.equal(told.error?.code, "ExecutorError");
  assert.match(told.error?.message ?? "", /ENOTDIR|EEXIST/);
});

test("while the object store is away an ended task waits for its result to be read", async (t) => {
  let away = true;
  let asked = 0;
  const wrap = (store: FileStore): FileStore => ({
    ...store,
    async get(uri, options) {
      asked += 1;
      if (away) throw new StoreUnavailableError(uri, "a test asked for it");
      return store.get(uri, options);
    },
  });
  await using machine = await host(t, { wrap });
  machine.plane.lease(shellLease("done", "exit 0"));
  await machine.eventually(() => asked > 1);
  assert.deepEqual(machine.plane.told("7/done/1").phases, ["RUNNING"]);
  away = false;
  assert.deepEqual((await machine.released("7/done/1")).phases, ["RUNNING", "SUCCEEDED"]);
});

test("names of actions never lead out of the attempts' folder", async (t) => {
  await using machine = await host(t);
  for (const name of ["..", ".", "a/../../b", "%2e%2e", "ü n"]) machine.plane.lease(shellLease(name, "pwd"));
  for (const name of ["..", ".", "a/../../b", "%2e%2e", "ü n"]) {
    const told = await machine.released(keyOf(shellLease(name, "")));
    assert.equal(told.phases[0], "RUNNING", name);
  }
  assert.deepEqual(await readdir(join(machine.dataDir, "attempts")), ["7"]);
});

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
