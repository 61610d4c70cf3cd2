/** Command line, folders' files and ends of processes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { TaskTemplateSchema } from "@flyte-ts/contract/flyteidl2/core/tasks_pb.ts";
import { attemptPlaces } from "../../executor/index.ts";
import { leaseOf } from "../../executor/testing/leases.ts";
import { templateValues } from "../../task-code/index.ts";
import { parseExit, parsePid } from "./attempt-folder.ts";
import { baseEnvironment, commandLine, commandSpec } from "./build.ts";
import { namedBundle } from "./bundles.ts";
import { type Ended, endOf } from "./phase.ts";

test("a container's command line, its variables, and what every process gets", () => {
  const template = create(TaskTemplateSchema, {
    target: {
      case: "container",
      value: { command: ["run"], args: ["me {{.runName}}"], env: [{ key: "A", value: "task" }] },
    },
  });
  const spec = commandSpec(template);
  assert.ok(spec);
  const lease = leaseOf();
  assert.deepEqual(commandLine(spec, templateValues(lease, attemptPlaces(lease)), undefined), ["run", "me r1"]);
  assert.deepEqual(spec.env, { A: "task" });
  const { PATH, ...base } = baseEnvironment({ binFolder: "/venv/bin", home: "/data/home", attempts: "/data/attempts" });
  assert.match(PATH ?? "", /^\/venv\/bin:\/usr\/local\/sbin:/);
  assert.deepEqual(base, {
    DO_NOT_TRACK: "1",
    FLYTE_DISABLE_SENTRY: "1",
    GIT_CEILING_DIRECTORIES: "/data/attempts",
    HOME: "/data/home",
    LANG: "C.UTF-8",
    PYTHONUNBUFFERED: "1",
  });
});

test("a pod's primary container is run by its command line", () => {
  const pod = (primaryContainerName: string) =>
    create(TaskTemplateSchema, {
      target: {
        case: "k8sPod",
        value: {
          primaryContainerName,
          podSpec: {
            containers: [
              { name: "side", command: ["no"] },
              {
                name: "main",
                args: ["a0", "x"],
                env: [
                  { name: "K", value: "v" },
                  { name: "REF", valueFrom: {} },
                ],
              },
            ],
          },
        },
      },
    });
  assert.deepEqual(commandSpec(pod("main")), { command: ["a0", "x"], env: { K: "v" } });
  assert.deepEqual(commandSpec(pod(""))?.command, ["no"]);
  assert.equal(commandSpec(create(TaskTemplateSchema, {})), undefined);
  assert.equal(commandSpec(create(TaskTemplateSchema, { target: { case: "container", value: {} } })), undefined);
});

test("only bundles whose place is inside the working directory are unpacked ahead", () => {
  const line = (...rest: string[]) => namedBundle(["a0", "--version", "v", ...rest]);
  assert.deepEqual(line("--tgz", "s3://b/u/fast1.tar.gz", "--dest", "."), {
    uri: "s3://b/u/fast1.tar.gz",
    fileName: "fast1.tar.gz",
    destination: ".",
  });
  assert.equal(line("--tgz", "s3://b/u/fast1.tar.gz", "--dest", "code")?.destination, "code");
  assert.equal(line("--tgz", "s3://b/u/fast1.tar.gz", "--dest", "../x"), undefined);
  assert.equal(line("--tgz", "s3://b/u/fast1.tar.gz", "--dest", "/root"), undefined);
  assert.equal(line("--tgz", "/local/fast1.tar.gz"), undefined);
  assert.equal(line("--pkl", "s3://b/x.pkl.gz"), undefined);
});

test("what the wrapper writes is read back, and half of it is not believed", () => {
  assert.deepEqual(parseExit("3\n0m0.00s 0m0.01s\n1m2.50s 0m0,25s\nend\n"), {
    status: 3,
    userCpuMs: 62_500,
    systemCpuMs: 250,
  });
  for (const text of ["", "3\n", "3\n0m0.00s 0m0.01s\n0m0.1s 0m0.1s\n"]) assert.equal(parseExit(text), undefined);
  assert.deepEqual(parsePid("12 12 (a (b) c) S 1 12 12 0 -1 4 5 6 7 8 9 10 11 12 20 0 1 0 98765 1\n"), {
    pid: 12,
    startTicks: "98765",
  });
  assert.deepEqual(parsePid("12 \n"), { pid: 12 });
});

test("out of memory is the user's, with the code the SDK looks for", () => {
  const ended: Ended = {
    at: new Date(0),
    status: 137,
    error: undefined,
    hasOutputs: false,
    declaresOutputs: true,
    attemptUri: "s3://b/a",
    outOfMemory: true,
    lastLines: "",
  };
  const end = endOf(ended);
  assert.ok(end.phase === "failed");
  assert.deepEqual([end.error.code, end.error.kind], ["OOMKilled", "user"]);
});
