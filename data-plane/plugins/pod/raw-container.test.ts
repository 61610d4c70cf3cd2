/** Raw containers as real pods: any image, files in, files out. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { fromBinary } from "@bufbuild/protobuf";
import { SimpleType } from "@flyte-ts/contract/flyteidl2/core/types_pb.ts";
import { OutputsSchema } from "@flyte-ts/contract/flyteidl2/task/common_pb.ts";
import { eventually, needsCluster } from "@flyte-ts/platform/kubernetes/testing.ts";
import { blob, FILE, FOLDER, integer, simple, text } from "../../copilot/testing/values.ts";
import { DOWNLOAD } from "./staged.ts";
import { rawCluster } from "./testing/raw-cluster.ts";

const needsNode = needsCluster("node");
const { INTEGER, STRING } = SimpleType;

test("files and values in and out, and every way to go wrong", needsNode, async (t) => {
  const one = await rawCluster(t);
  const { objectStore, kubectl } = one;
  await objectStore.put("s3://flyte-data/x/f.txt", Buffer.from("file content"));
  await objectStore.put("s3://flyte-data/dir/a", Buffer.from("A"));
  await objectStore.put("s3://flyte-data/dir/b/c", Buffer.from("C"));
  const good = await one.raw("good", {
    script: `set -e
      test "$(cat /var/inputs/inputs.json)" = '{"n":20,"f":"/var/inputs/f","d":"/var/inputs/d"}'
      echo $(($(cat /var/inputs/n) + {{.inputs.n}})) > /var/outputs/sum
      cat /var/inputs/f > /var/outputs/copy
      mkdir /var/outputs/dir; cp -r /var/inputs/d/* /var/outputs/dir; rm /var/inputs/n`,
    inputs: { n: integer(20n), f: blob("s3://flyte-data/x/f.txt"), d: blob("s3://flyte-data/dir", true) },
    outputs: { sum: simple(INTEGER), copy: FILE, dir: FOLDER },
  });
  // The pod waits for its input, so that it can be looked at.
  const patient = await one.raw("patient", {
    script: "while test ! -e /var/outputs/x; do sleep 0.1; done",
    outputs: { x: simple(STRING) },
  });
  await one.phase(patient, "RUNNING");
  const pod = await kubectl("get", "pod", "r1-patient-7-0", "--output", "json");
  assert.ok(!pod.includes(one.secret), "no key in a pod");
  assert.match(pod, /"FLYTE_AWS_SECRET_ACCESS_KEY"[^}]*"valueFrom"/s);
  await kubectl(
    "exec",
    "r1-patient-7-0",
    "--container",
    "r1-patient-7-0",
    "--",
    "sh",
    "-c",
    "echo -n hi > /var/outputs/x",
  );

  const sum = { sum: simple(INTEGER) };
  const rows = [
    [
      await one.raw("noinput", { script: "exit 9", inputs: { f: blob("s3://flyte-data/none") }, outputs: sum }),
      "InputNotFound",
      "USER",
      /the input `f` is gone/,
    ],
    [
      await one.raw("nothing", { script: "true", outputs: sum }),
      "OutputsMissing",
      "USER",
      /no file for its output `sum`/,
    ],
    [
      await one.raw("wrong", { script: "echo many > /var/outputs/sum", outputs: sum }),
      "OutputInvalid",
      "USER",
      /`sum`/,
    ],
    [
      await one.raw("three", { script: "echo 1 > /var/outputs/sum; echo oh no; exit 3", outputs: sum }),
      "ExitCode3",
      "USER",
      /oh no/,
    ],
    [
      await one.raw("said", { script: "echo because > /var/outputs/_ERROR; exit 3", outputs: sum }),
      "TaskReportedError",
      "USER",
      /^because$/,
    ],
    [await one.raw("memory", { script: "tail /dev/zero", outputs: sum }), "OOMKilled", "USER", /memory/],
  ] as const;
  for (const [lease, code, kind, message] of rows) {
    const told = await one.released(lease);
    const { error } = told;
    assert.deepEqual([told.phases.at(-1), error?.code], ["FAILED", code], `${lease.ref?.name}: ${error?.message}`);
    assert.equal(error?.kind, kind === "USER" ? 1 : 2, lease.ref?.name);
    assert.match(error?.message ?? "", message);
  }
  const { outputUri, phases, error } = await one.released(good);
  assert.deepEqual(phases, ["INITIALIZING", "RUNNING", "SUCCEEDED"], error?.message);
  const outputs = fromBinary(OutputsSchema, await objectStore.get(`${outputUri}/outputs.pb`));
  const values = Object.fromEntries(outputs.literals.map(({ name, value }) => [name, value?.value]));
  assert.ok(values.sum?.case === "scalar" && values.sum.value.value.case === "primitive");
  assert.equal(values.sum.value.value.value.value.value, 40n);
  for (const [uri, content] of [
    ["copy", "file content"],
    ["dir/a", "A"],
    ["dir/b/c", "C"],
  ] as const) {
    assert.equal(Buffer.from(await objectStore.get(`${outputUri}/${uri}`)).toString(), content);
  }
  assert.equal((await one.released(patient)).phases.at(-1), "SUCCEEDED");
});

test("a large file goes through little memory, and a store that is away costs no attempt", needsNode, async (t) => {
  const one = await rawCluster(t, { copilotLimits: { memory: "160Mi" } });
  const size = 100 << 20;
  const hash = createHash("sha256");
  async function* content() {
    for (let at = 0; at < size; at += 1 << 20) {
      const part = Buffer.alloc(1 << 20, String(at));
      hash.update(part);
      yield part;
    }
  }
  await one.objectStore.put("s3://flyte-data/large", content());
  const expected = hash.digest("hex");
  const large = await one.raw("large", {
    script: "sha256sum /var/inputs/f | cut -d' ' -f1 > /var/outputs/sum; cp /var/inputs/f /var/outputs/f",
    inputs: { f: blob("s3://flyte-data/large") },
    outputs: { f: FILE, sum: simple(STRING) },
  });
  const told = await one.released(large);
  assert.equal(told.phases.at(-1), "SUCCEEDED", told.error?.message);
  const again = createHash("sha256");
  for await (const chunk of (await one.objectStore.stream(`${told.outputUri}/f`)).body) again.update(chunk);
  assert.equal(again.digest("hex"), expected);

  await one.store.down();
  const waits = await one.raw("waits", {
    script: "cat /var/inputs/w > /var/outputs/w",
    inputs: { w: text("word") },
    outputs: { w: simple(STRING) },
  });
  await one.phase(waits, "INITIALIZING");
  await one.logged(waits, DOWNLOAD, "trying again");
  await one.store.up();
  const then = await one.released(waits);
  assert.equal(then.phases.at(-1), "SUCCEEDED", then.error?.message);
});

test("a store that stays away, an abort, a pod deleted by hand: nothing is left", needsNode, async (t) => {
  const one = await rawCluster(t, { copilotPatienceSeconds: 1 });
  const outputs = { x: simple(STRING) };
  const go = "while test ! -e /var/outputs/x; do sleep 0.1; done";
  const [lost, aborted, deleted] = [
    await one.raw("lost", { script: go, outputs }),
    await one.raw("aborted", { script: go, outputs }),
    await one.raw("deleted", { script: go, outputs }),
  ];
  for (const lease of [lost, aborted, deleted]) await one.phase(lease, "RUNNING");
  one.plane.abort(aborted);
  await one.kubectl("delete", "pod", "r1-deleted-7-0", "--wait=false");
  await one.store.down();
  const write = ["--", "sh", "-c", "echo hi > /var/outputs/x"];
  await one.kubectl("exec", "r1-lost-7-0", "--container", "r1-lost-7-0", ...write);
  for (const [lease, phase, code] of [
    [lost, "FAILED", "OutputUploadFailed"],
    [aborted, "ABORTED", undefined],
    [deleted, "FAILED", "ResourceDeletedExternally"],
  ] as const) {
    const told = await one.released(lease);
    assert.deepEqual([told.phases.at(-1), told.error?.code], [phase, code], told.error?.message);
  }
  assert.match(
    (await one.released(lost)).error?.message ?? "",
    /outputs could not be stored.*object store is not available/s,
  );
  await one.store.up();
  const left = () => one.kubectl("get", "pods,secrets", "--selector", "flyte.org/managed=true", "--output", "name");
  await eventually(async () => (await left()).trim() === "");
});
