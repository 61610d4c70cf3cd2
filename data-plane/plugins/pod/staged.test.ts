/** What goes around a task that knows nothing of Flyte, and what is seen of it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import { DataLoadingConfigSchema } from "@flyte-ts/contract/flyteidl2/core/tasks_pb.ts";
import { downloadJob, uploadJob } from "../../copilot/index.ts";
import { FILE, outputsOf } from "../../copilot/testing/values.ts";
import { podConfig } from "./config.ts";
import type { ContainerState, PodStatus } from "./objects.ts";
import { observe, type Seen } from "./phase.ts";
import { DOWNLOAD, UPLOAD } from "./staged.ts";
import { build, containerTask, podTask, refuses, spec, type Template } from "./testing/built.ts";
import { at, podWith, T0 } from "./testing/pods.ts";

const data = (paths: { inputPath?: string; outputPath?: string } = {}) =>
  create(DataLoadingConfigSchema, { enabled: true, inputPath: "/var/inputs", outputPath: "/var/outputs", ...paths });
const both: Template = {
  interface: { inputs: { variables: [{ key: "f", value: {} }] }, outputs: outputsOf({ o: FILE }) },
};
const config = { copilotImage: "flyte-ts:1", copilotPatienceSeconds: 7 };
const raw = (container: object = {}, rest: Template = both): Template =>
  containerTask(
    { image: "any:1", args: ["run"], dataConfig: data(), ...container },
    { type: "raw-container", ...rest },
  );
const named = (all: { name: string }[] | undefined) => (all ?? []).map(({ name }) => name);
const flagsOf = (args: string[] = []) =>
  Object.fromEntries(args.slice(2).map((arg) => [arg.slice(2, arg.indexOf("=")), arg.slice(arg.indexOf("=") + 1)]));

test("an init container and one beside, which know where everything is, and no key", () => {
  const server = { FLYTE_AWS_ENDPOINT: "http://s3:9000" };
  const serverSecrets = { FLYTE_AWS_SECRET_ACCESS_KEY: "hidden" };
  const { pod, secret } = build(raw(), { config: { ...config, envFromSecrets: ["store"] }, server, serverSecrets });
  const { containers, initContainers, volumes } = pod.spec;
  assert.deepEqual([named(initContainers), named(containers)], [[DOWNLOAD], ["r1-a0-7-0", UPLOAD]]);
  const [download] = initContainers ?? [];
  const [task, upload] = containers;
  assert.deepEqual(
    task?.volumeMounts?.map(({ name, mountPath }) => [name, mountPath]),
    [
      ["flyte-inputs", "/var/inputs"],
      ["flyte-outputs", "/var/outputs"],
    ],
  );
  assert.deepEqual(named(volumes), ["flyte-inputs", "flyte-outputs", "flyte-task"]);
  for (const one of [download, upload]) {
    assert.equal(one?.image, "flyte-ts:1");
    assert.deepEqual(one?.env, [
      { name: "FLYTE_AWS_ENDPOINT", value: "http://s3:9000" },
      {
        name: "FLYTE_AWS_SECRET_ACCESS_KEY",
        valueFrom: { secretKeyRef: { name: "r1-a0-7-0", key: "environment-0" } },
      },
    ]);
    assert.deepEqual(one?.envFrom, [{ secretRef: { name: "store" } }]);
    assert.deepEqual(one?.resources?.limits, { cpu: "1", memory: "256Mi" });
    assert.equal(one?.terminationMessagePolicy, "FallbackToLogsOnError");
  }
  assert.ok(!JSON.stringify(pod).includes("hidden") && secret?.data["environment-0"]);
  assert.deepEqual(download?.args?.slice(0, 2), ["copilot", "download"]);
  assert.deepEqual(downloadJob(flagsOf(download?.args)), {
    inputUri: "",
    folder: "/flyte/inputs",
    seenAs: "/var/inputs",
    config: { format: 0, fileInputLayout: 0 },
    attemptUri: "s3://flyte-data/p/development/r1/a0/1",
    patienceSeconds: 7,
  });
  const job = uploadJob(flagsOf(upload?.args));
  assert.deepEqual(
    [job.folder, job.exitFile, job.outputs.variables.map(({ key }) => key)],
    ["/flyte/outputs", "/flyte/task/exit-code", ["o"]],
  );
});

test("only what is needed: no inputs, no outputs, neither; pods of the task's own", () => {
  const only = (rest: Template) => spec(raw({}, { interface: rest.interface }), { config });
  const inputs = only({ interface: { inputs: both.interface?.inputs } } as Template);
  assert.deepEqual([named(inputs.initContainers), named(inputs.containers)], [[DOWNLOAD], ["r1-a0-7-0"]]);
  const outputs = only({ interface: { outputs: outputsOf({ o: FILE }) } });
  assert.deepEqual([named(outputs.initContainers), named(outputs.containers)], [[], ["r1-a0-7-0", UPLOAD]]);
  const neither = only({});
  assert.deepEqual([named(neither.containers), named(neither.volumes)], [["r1-a0-7-0"], []]);

  const own = podTask(
    { containers: [{ name: "m" }, { name: "side" }], initContainers: [{ name: "first" }] },
    both,
    "m",
  );
  if (own.target?.case === "k8sPod") own.target.value.dataConfig = data();
  const pod = spec(own, { config });
  assert.deepEqual(named(pod.initContainers), [DOWNLOAD, "first"]);
  assert.deepEqual(named(pod.containers), ["m", "side", UPLOAD]);
  assert.equal(pod.containers[1]?.volumeMounts, undefined);
});

test("a template tunes our containers where they are, and adds none where they are not", () => {
  const podTemplate = {
    spec: {
      containers: [
        { name: UPLOAD, securityContext: { runAsUser: 7 } },
        { name: "proxy", image: "p:1" },
      ],
      initContainers: [{ name: DOWNLOAD, securityContext: { runAsUser: 8 } }],
    },
  };
  const pod = spec(raw(), { config, podTemplate });
  assert.deepEqual(named(pod.containers), ["r1-a0-7-0", UPLOAD, "proxy"]);
  assert.deepEqual((pod.containers[1] as unknown as { securityContext: object }).securityContext, { runAsUser: 7 });
  const plain = spec(containerTask({}), { config, podTemplate });
  assert.deepEqual([named(plain.containers), named(plain.initContainers)], [["r1-a0-7-0", "proxy"], []]);
});

test("what no cluster, or not this one, can do", () => {
  refuses(raw(), /for which this cluster has no image.*pods\.copilotImage/);
  for (const inputPath of ["inputs", "/", "/var/../etc", "/a:b"]) {
    refuses(raw({ dataConfig: data({ inputPath }) }), /must be an absolute path/, { config });
  }
  refuses(raw({ dataConfig: data({ outputPath: "/var/inputs/" }) }), /two volumes are mounted at \/var\/inputs/, {
    config,
  });
  const own = podTask({ containers: [{ name: "m" }, { name: UPLOAD }] }, both, "m");
  if (own.target?.case === "k8sPod") own.target.value.dataConfig = data();
  refuses(own, /"flyte-copilot-upload" is Flyte's own/, { config });
  refuses(raw(), /tasks of the type "raw-container" cannot/, { config, shape: (task) => task });
});

const { graces } = podConfig.parse({});
const two = { containers: [{ name: "main" }, { name: UPLOAD }] };
const ended = (exitCode: number, more: object = {}): ContainerState => ({
  terminated: { exitCode, startedAt: at(5), finishedAt: at(10), ...more },
});
const runs: ContainerState = { running: { startedAt: at(5) } };

function seen(main: ContainerState, upload: ContainerState, status: PodStatus = {}, metadata: object = {}): Seen {
  const containerStatuses = [
    { name: "main", state: main },
    { name: UPLOAD, state: upload, image: "flyte-ts:1" },
  ];
  const pod = podWith({ phase: "Running", containerStatuses, ...status }, { spec: two, metadata });
  return observe(pod, { primary: "main", graces, now: new Date(T0 + 20_000), trouble: undefined });
}

test("the attempt is judged when its outputs are taken, or cannot be", () => {
  const rows: [name: string, seen: Seen, kind: string, code?: string, blame?: string, message?: RegExp][] = [
    ["both run", seen(runs, runs), "running"],
    ["the task ended", seen(ended(0), runs), "handingOver 0"],
    ["it failed", seen(ended(3), runs), "handingOver 3"],
    ["out of memory", seen(ended(137, { reason: "OOMKilled" }), runs), "handingOver 137"],
    ["not started yet", seen(ended(0), { waiting: { reason: "ContainerCreating" } }), "handingOver 0"],
    ["taken", seen(ended(0), ended(0)), "ended zero", "OutputsMissing", "user"],
    ["failed and seen", seen(ended(3), ended(0)), "ended", "ExitCode3", "user"],
    [
      "not stored",
      seen(ended(0), ended(1, { message: "the store refuses" })),
      "ended zero",
      "OutputUploadFailed",
      "system",
      /outputs could not be stored \(exit code 1\).*\nthe store refuses/,
    ],
    [
      "no memory for it",
      seen(ended(0), ended(137, { reason: "OOMKilled" })),
      "ended zero",
      "OutputUploadFailed",
      "system",
      /raise pods\.copilotLimits/,
    ],
    ["company lost", seen(runs, ended(1)), "ended", "OutputUploadFailed", "system", /ended before the task/],
    ["told to end", seen(runs, ended(143), {}, { deletionTimestamp: at(50) }), "running"],
    [
      "evicted",
      seen(ended(137), runs, { reason: "Evicted", message: "The node was low on resource: memory." }),
      "ended",
      "Interrupted",
      "system",
    ],
    [
      "its node is gone",
      seen(ended(0), runs, {}, { deletionTimestamp: at(-20), deletionGracePeriodSeconds: -100 }),
      "ended",
      "Interrupted",
      "system",
    ],
  ];
  for (const [name, one, kind, code, blame, message] of rows) {
    const short =
      one.kind === "handingOver"
        ? `handingOver ${one.exitCode}`
        : one.kind === "ended" && one.exitedZero
          ? "ended zero"
          : one.kind;
    assert.equal(short, kind, name);
    if (one.kind !== "ended") continue;
    assert.deepEqual([one.end.error.code, one.end.error.kind], [code, blame], `${name}: ${one.end.error.message}`);
    if (message) assert.match(one.end.error.message, message, name);
  }
  const late = seen(ended(0), ended(0, { finishedAt: at(15) }));
  assert.equal(late.kind === "ended" && late.at?.getTime(), T0 + 15_000, "the attempt ends with the upload");
  const stuck = seen(ended(0), { waiting: { reason: "ErrImagePull", message: "no such image" } });
  assert.ok(stuck.kind === "handingOver" && stuck.trouble?.kind.startsWith("image"));
  const config = seen(ended(0), { waiting: { reason: "InvalidImageName" } });
  assert.ok(config.kind === "ended" && config.end.error.code === "InvalidImageName");
});

test("inputs that could not be brought are nobody's exit code", () => {
  const state = ended(1, { message: "the store is away" });
  const pod = podWith(
    { phase: "Failed", initContainerStatuses: [{ name: DOWNLOAD, state }] },
    { spec: { ...two, initContainers: [{ name: DOWNLOAD }] } },
  );
  const one = observe(pod, { primary: "main", graces, now: new Date(T0), trouble: undefined });
  assert.ok(one.kind === "ended");
  assert.deepEqual([one.end.error.code, one.end.error.kind], ["InputDownloadFailed", "system"]);
  assert.match(one.end.error.message, /inputs could not be brought .*\nthe store is away/);
});
