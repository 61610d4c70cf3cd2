/** The two programs as a pod runs them: command lines, the word about the task's end, and every way to end. */
import assert from "node:assert/strict";
import { mkdir, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { ErrorDocumentSchema, ExecutionError_ErrorKind } from "@flyte-ts/contract/flyteidl2/core/execution_pb.ts";
import { DataLoadingConfigSchema } from "@flyte-ts/contract/flyteidl2/core/tasks_pb.ts";
import { SimpleType } from "@flyte-ts/contract/flyteidl2/core/types_pb.ts";
import { InputsSchema } from "@flyte-ts/contract/flyteidl2/task/common_pb.ts";
import { StoreUnavailableError } from "@flyte-ts/platform/object-store";
import {
  CopilotUsageError,
  downloadArgs,
  downloadJob,
  runDownload,
  runUpload,
  uploadArgs,
  uploadJob,
} from "./index.ts";
import { blob, inputsOf, integer, outputsOf, room, simple } from "./testing/values.ts";

const attemptUri = "s3://flyte-data/r/a0/1";
const outputs = outputsOf({ x: simple(SimpleType.INTEGER) });

/** As a kubelet writes the volume of a downward API: all files behind one link, which is replaced. */
async function exitVolume(folder: string) {
  await mkdir(folder, { recursive: true });
  let serial = 0;
  const say = async (text: string) => {
    const version = `..v${serial++}`;
    await mkdir(join(folder, version));
    await writeFile(join(folder, version, "exit-code"), text);
    await symlink(version, join(folder, "..data_tmp"));
    await rename(join(folder, "..data_tmp"), join(folder, "..data"));
  };
  await say("");
  await symlink("..data/exit-code", join(folder, "exit-code"));
  return { file: join(folder, "exit-code"), say };
}

async function uploading(t: TestContext, patienceSeconds = 60) {
  const { path, store } = await room(t);
  const folder = join(path, "outputs");
  const volume = await exitVolume(join(path, "task"));
  const stop = new AbortController();
  const said: string[] = [];
  let opened = 0;
  const parts = {
    openStore: async () => {
      opened += 1;
      return store;
    },
    say: (line: string) => said.push(line),
    signal: stop.signal,
  };
  const job = { folder, outputs, attemptUri, rawDataPrefix: attemptUri, exitFile: volume.file, patienceSeconds };
  return { folder, store, volume, stop, said, parts, job, opened: () => opened };
}

test("command lines say what they were made of", () => {
  const download = {
    inputUri: "s3://b/in/inputs.pb",
    folder: "/flyte/inputs",
    seenAs: "/var/inputs",
    config: create(DataLoadingConfigSchema, { format: 1, fileInputLayout: 1 }),
    attemptUri,
    patienceSeconds: 5,
  };
  const upload = {
    folder: "/o",
    outputs,
    rawDataPrefix: "s3://b/-r",
    exitFile: "/t/e",
    attemptUri,
    patienceSeconds: 0,
  };
  const flags = (args: string[]) =>
    Object.fromEntries(args.slice(2).map((arg) => [arg.slice(2, arg.indexOf("=")), arg.slice(arg.indexOf("=") + 1)]));
  assert.deepEqual(downloadJob(flags(downloadArgs(download))), {
    ...download,
    config: { format: 1, fileInputLayout: 1 },
  });
  assert.deepEqual(uploadJob(flags(uploadArgs(upload))), upload);
  assert.deepEqual(downloadJob({ folder: "/i", results: "s3://b/r" }), {
    inputUri: "",
    folder: "/i",
    seenAs: "/i",
    config: { format: 0, fileInputLayout: 0 },
    attemptUri: "s3://b/r",
    patienceSeconds: 600,
  });
  const good = { folder: "/o", outputs: "", "raw-data": "s3://b/r", results: "s3://b/r", "exit-file": "/e" };
  for (const [change, message] of [
    [{ format: "XML" }, /--format must be one of JSON, YAML, PROTO, not XML/],
    [{ layout: "flat" }, /--layout must be one of DIRECT, NAMED_DIR/],
    [{ patience: "soon" }, /--patience must be a number of seconds/],
    [{ results: undefined }, /--results is missing/],
  ] as const) {
    assert.throws(
      () => downloadJob({ ...good, ...change }),
      (error: Error) => {
        assert.ok(error instanceof CopilotUsageError);
        assert.match(error.message, message);
        return true;
      },
    );
  }
  assert.throws(() => uploadJob({ ...good, outputs: "////" }), /--outputs is no VariableMap in base64/);
  assert.throws(() => uploadJob(good), /--outputs is missing/);
});

test("outputs are taken once the exit code is told, and the store is opened no sooner", async (t) => {
  const one = await uploading(t);
  const done = runUpload(one.job, one.parts);
  await mkdir(one.folder, { recursive: true });
  await writeFile(join(one.folder, "x"), "7");
  assert.equal(one.opened(), 0);
  await one.volume.say("0\n");
  assert.equal(await done, 0);
  assert.ok(await one.store.head(`${attemptUri}/outputs.pb`));
  assert.match(one.said.join("\n"), /exit code 0; stored: outputs/);
});

test("a task that failed stores nothing; one told to stop before its end neither", async (t) => {
  const failed = await uploading(t);
  await failed.volume.say("3");
  assert.equal(await runUpload(failed.job, failed.parts), 0);
  assert.deepEqual((await failed.store.list("s3://flyte-data/")).objects, []);

  const stopped = await uploading(t);
  const done = runUpload(stopped.job, stopped.parts);
  stopped.stop.abort();
  assert.equal(await done, 143);
  assert.equal(stopped.opened(), 0);

  // A pod that is told to end while its outputs are on the way: they may still make it.
  const late = await uploading(t);
  await late.volume.say("0");
  await mkdir(late.folder);
  await writeFile(join(late.folder, "x"), "7");
  late.stop.abort();
  assert.equal(await runUpload(late.job, late.parts), 0);
  assert.ok(await late.store.head(`${attemptUri}/outputs.pb`));
});

test("what went wrong is in error.pb, or in the log while the store is away", async (t) => {
  const one = await uploading(t, 0);
  await one.volume.say("0");
  await mkdir(one.folder);
  await writeFile(join(one.folder, "x"), "7");
  const put = () => Promise.reject(new StoreUnavailableError(`${attemptUri}/outputs.pb`, "the keys are refused"));
  const parts = { ...one.parts, openStore: async () => ({ ...one.store, put }) };
  assert.equal(await runUpload(one.job, parts), 1);
  assert.match(one.said.join("\n"), /the keys are refused.*\n.*the error cannot be stored/);

  const folder = join(one.folder, "..", "inputs");
  const job = {
    inputUri: "s3://flyte-data/in/inputs.pb",
    folder,
    seenAs: "/var/inputs",
    config: create(DataLoadingConfigSchema),
    attemptUri,
    patienceSeconds: 0,
  };
  const errorOf = async () => fromBinary(ErrorDocumentSchema, await one.store.get(`${attemptUri}/error.pb`)).error;
  const { USER, SYSTEM } = ExecutionError_ErrorKind;
  assert.equal(await runDownload(job, one.parts), 1);
  assert.deepEqual([(await errorOf())?.code, (await errorOf())?.origin], ["InputNotFound", USER]);
  await one.store.put(job.inputUri, Buffer.from("no message"));
  assert.equal(await runDownload(job, one.parts), 1);
  assert.deepEqual([(await errorOf())?.code, (await errorOf())?.origin], ["InputUnreadable", SYSTEM]);

  const inputs = inputsOf({ n: integer(1n), f: blob("s3://flyte-data/f") });
  await one.store.put(job.inputUri, toBinary(InputsSchema, inputs));
  await one.store.put("s3://flyte-data/f", Buffer.from("content"));
  const away = () => Promise.reject(new StoreUnavailableError("s3://flyte-data/f", "it went away"));
  assert.equal(await runDownload(job, { ...one.parts, openStore: async () => ({ ...one.store, stream: away }) }), 1);
  assert.deepEqual([(await errorOf())?.code, (await errorOf())?.origin], ["InputDownloadFailed", SYSTEM]);

  await rm(folder, { recursive: true, force: true });
  assert.equal(await runDownload(job, one.parts), 0);
  assert.equal(await readFile(join(folder, "f"), "utf8"), "content");
  const stopped = new AbortController();
  stopped.abort();
  const waiting = { ...one.parts, signal: stopped.signal, openStore: async () => ({ ...one.store, get: away }) };
  assert.equal(await runDownload({ ...job, patienceSeconds: 60 }, waiting), 143);
});
