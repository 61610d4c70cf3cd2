/** The unmodified Python SDK as a leaf task: bundle, inputs, outputs, errors, through the embedded S3 endpoint. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { InputsSchema, OutputsSchema } from "@flyte-ts/contract/flyteidl2/task/common_pb.ts";
import type { LeasedAction } from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";
import type { FileStore } from "@flyte-ts/platform/object-store";
import { leaseOf } from "../../executor/testing/leases.ts";
import { host } from "./testing/host.ts";
import { testPython, whyNoPython } from "./testing/python.ts";
import { serveObjects } from "./testing/serve-objects.ts";

const SOURCE = `
import os
import flyte

env = flyte.TaskEnvironment(name="leaf")

@env.task
async def double(x: int) -> int:
    print(f"doubling {x}", flush=True)
    open("scratch.txt", "w").write("in my own folder")
    return 2 * x

@env.task
async def fail(x: int) -> int:
    raise ValueError(f"{x} is not to my liking")
`;

async function uploadBundle(t: TestContext, store: FileStore): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "flyte-ts-bundle-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  await mkdir(join(folder, "code"));
  await writeFile(join(folder, "code", "leaf.py"), SOURCE);
  const archive = join(folder, "fastabc.tar.gz");
  execFileSync("tar", ["-czf", archive, "-C", join(folder, "code"), "leaf.py"]);
  const uri = "s3://flyte-data/uploads/fastabc.tar.gz";
  await store.put(uri, await readFile(archive));
  return uri;
}

async function pythonLease(store: FileStore, tgz: string, name: string, task: string): Promise<LeasedAction> {
  const value = { case: "integer", value: 21n } as const;
  const inputs = create(InputsSchema, {
    literals: [
      { name: "x", value: { value: { case: "scalar", value: { value: { case: "primitive", value: { value } } } } } },
    ],
  });
  const inputUri = `s3://flyte-data/p/development/r1/${name}/inputs.pb`;
  await store.put(inputUri, toBinary(InputsSchema, inputs));
  const line = `a0 --inputs {{.input}} --outputs-path {{.outputPrefix}} --version v1 --raw-data-path {{.rawOutputDataPrefix}}
    --checkpoint-path {{.checkpointOutputPrefix}} --prev-checkpoint {{.prevCheckpointPrefix}} --run-name {{.runName}}
    --name {{.actionName}} --run-start-time {{.runStartTime}} --tgz ${tgz} --dest .
    --resolver flyte._internal.resolvers.default.DefaultTaskResolver mod leaf instance ${task}`;
  return leaseOf({
    name,
    taskType: "python",
    inputUri,
    template: {
      type: "python",
      interface: { outputs: { variables: [{ key: "o0", value: {} }] } },
      target: { case: "container", value: { args: line.split(/\s+/) } },
    },
  });
}

test("a real Python task", { skip: whyNoPython() }, async (t) => {
  let endpoint: Awaited<ReturnType<typeof serveObjects>> | undefined;
  const environment: Record<string, string> = { _U_EP_OVERRIDE: "localhost:1", _U_INSECURE: "true" };
  await using machine = await host(t, { python: testPython() ?? "", environment });
  endpoint = await serveObjects(t, machine.objectStore);
  Object.assign(environment, endpoint.environment);
  const tgz = await uploadBundle(t, machine.objectStore);

  await t.test("its outputs are there when it is reported as succeeded", async () => {
    machine.plane.lease(await pythonLease(machine.objectStore, tgz, "good", "double"));
    const told = await machine.released("7/good/1");
    assert.deepEqual(told.phases, ["RUNNING", "SUCCEEDED"], told.error?.message);
    const outputs = fromBinary(OutputsSchema, await machine.objectStore.get(`${told.outputUri}/outputs.pb`));
    const literal = outputs.literals[0]?.value?.value;
    assert.equal(
      literal?.case === "scalar" && literal.value.value.case === "primitive" && literal.value.value.value.value.value,
      42n,
    );
    assert.match(await machine.logText(told.outputUri), /doubling 21/);
    assert.ok((told.reports.at(-1)?.usage?.maxRssBytes ?? 0n) > 10_000_000n);
  });

  await t.test("its bundle came from the cache: the task downloaded nothing", () => {
    assert.deepEqual(
      endpoint?.requests.filter((line) => line.includes("fastabc")),
      [],
    );
  });

  await t.test("its exception is the action's error", async () => {
    machine.plane.lease(await pythonLease(machine.objectStore, tgz, "bad", "fail"));
    const told = await machine.released("7/bad/1");
    assert.deepEqual(told.phases, ["RUNNING", "FAILED"]);
    assert.equal(told.error?.code, "ValueError");
    assert.match(told.error?.message ?? "", /21 is not to my liking/);
  });

  await t.test("a broken bundle is left to the task, which says what is wrong", async () => {
    await machine.objectStore.put("s3://flyte-data/uploads/fastbad.tar.gz", Buffer.from("not an archive"));
    machine.plane.lease(
      await pythonLease(machine.objectStore, "s3://flyte-data/uploads/fastbad.tar.gz", "broken", "double"),
    );
    const told = await machine.released("7/broken/1");
    assert.deepEqual(told.phases, ["RUNNING", "FAILED"]);
    assert.match(told.error?.message ?? "", /gzip|tar/i);
  });
});
