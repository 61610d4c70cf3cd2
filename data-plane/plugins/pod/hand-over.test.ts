/** The word about a raw container's end: said once, also by another life of the executor, and waited for. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { create, toBinary } from "@bufbuild/protobuf";
import { OutputsSchema } from "@flyte-ts/contract/flyteidl2/task/common_pb.ts";
import { openFileStore } from "@flyte-ts/platform/object-store";
import { FILE, outputsOf } from "../../copilot/testing/values.ts";
import { executor, memoryActionStore } from "../../executor/index.ts";
import { silentLog } from "../../executor/log.ts";
import { keyOf, leaseOf } from "../../executor/testing/leases.ts";
import { scriptedControlPlane } from "../../executor/testing/scripted-control-plane.ts";
import { podConfig, podPlugin } from "./index.ts";
import { EXIT_CODE, UPLOAD } from "./staged.ts";
import { scriptedPods } from "./testing/scripted-pods.ts";

test("the exit code is told once, and the attempt ends when its outputs are taken", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "flyte-ts-pod-"));
  const objectStore = await openFileStore({ folder, root: "s3://flyte-data", sync: "none" });
  const pods = scriptedPods();
  const plane = scriptedControlPlane();
  const store = memoryActionStore();
  let told = 0;
  const annotate: typeof pods.annotate = async (address, annotations) => {
    told += 1;
    return pods.annotate(address, annotations);
  };
  function start() {
    const stop = new AbortController();
    const plugin = podPlugin({
      cluster: "east",
      pods: { ...pods, annotate },
      objectStore,
      secrets: { read: async () => [] },
      config: podConfig.parse({ copilotImage: "flyte-ts:1" }),
      log: silentLog,
      namespace: () => "ns",
      podTemplate: async () => undefined,
      taskEnvironment: () => ({}),
    });
    const parts = { cluster: "east", link: plane.link, store, plugins: [plugin], log: silentLog, slots: 9 };
    const done = executor(parts).run(stop.signal);
    return async () => {
      stop.abort();
      await done;
    };
  }
  let end = start();
  t.after(async () => {
    await end();
    await objectStore.close();
    await rm(folder, { recursive: true, force: true });
  });
  const container = { image: "any:1", dataConfig: { enabled: true } };
  const lease = leaseOf({
    template: {
      interface: { outputs: outputsOf({ o: FILE }) },
      target: { case: "container", value: container },
    },
  });
  const key = keyOf(lease);
  const name = "r1-a0-7-0";
  const until = async (condition: () => boolean) => {
    while (!condition()) await delay(5);
  };
  const show = (main: object, upload: object, phase: "Running" | "Succeeded" = "Running") =>
    pods.show(name, {
      phase,
      containerStatuses: [
        { name, state: main },
        { name: UPLOAD, state: upload },
      ],
    });
  const running = { running: { startedAt: "2026-01-01T00:00:00Z" } };
  const over = {
    terminated: { exitCode: 0, startedAt: "2026-01-01T00:00:00Z", finishedAt: "2026-01-01T00:00:05Z" },
  };

  plane.lease(lease);
  await until(() => pods.pod(name) !== undefined);
  show(running, running);
  await plane.until(() => plane.told(key).phases.includes("RUNNING"));
  assert.equal(told, 0);
  show(over, running);
  await until(() => pods.pod(name)?.metadata.annotations?.[EXIT_CODE] === "0");
  await end();
  end = start();
  // What the uploader writes first is read when it has ended, not before.
  const bytes = toBinary(OutputsSchema, create(OutputsSchema));
  await objectStore.put("s3://flyte-data/p/development/r1/a0/1/outputs.pb", bytes);
  show(over, running);
  const calls = pods.calls;
  await until(() => pods.calls > calls);
  assert.deepEqual([plane.told(key).phases.at(-1), told], ["RUNNING", 1]);
  show(over, over, "Succeeded");
  await plane.until(() => plane.told(key).released);
  assert.deepEqual([plane.told(key).phases.at(-1), told], ["SUCCEEDED", 1], plane.told(key).error?.message);
});
