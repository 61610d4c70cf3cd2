import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import {
  ArtifactType,
  type CreateDownloadLinkRequestSchema,
} from "@flyte-ts/contract/flyteidl2/dataproxy/dataproxy_service_pb.ts";
import { TaskSpecSchema } from "@flyte-ts/contract/flyteidl2/task/task_definition_pb.ts";
import { toDuration } from "@flyte-ts/core";
import { codeBundleUri } from "./index.ts";
import { actionId, actionRecord, dataProxyFixture, type Fixture, wireError } from "./testing/fixture.ts";

type Request = MessageInitShape<typeof CreateDownloadLinkRequestSchema>;

const attemptSource = (name: string, attempt: number) =>
  ({ case: "actionAttemptId", value: { actionId: actionId(name), attempt } }) as const;

async function link({ client }: Fixture, request: Request) {
  const { preSignedUrls } = await client.createDownloadLink(request);
  assert.equal(preSignedUrls?.signedUrl.length, 1);
  const query = new URL(preSignedUrls?.signedUrl[0] ?? "").searchParams;
  return { ...Object.fromEntries(query), expiresAt: preSignedUrls?.expiresAt?.seconds };
}

const bundle = "s3://flyte-data/uploads/p/development/ABC/fast1.tar.gz";
const withArgs = (...args: string[]) =>
  create(TaskSpecSchema, { taskTemplate: { target: { case: "container", value: { args } } } });
const withMetadata = create(TaskSpecSchema, { taskTemplate: { metadata: { codeBundleUri: bundle } } });

test("a report as soon as it exists, per attempt, while the action runs", async (t) => {
  const fixture = await dataProxyFixture(t, { validate: true });
  fixture.actions.set("a0", actionRecord({ attempts: 2 }));
  const report = (attempt: number) =>
    link(fixture, { artifactType: ArtifactType.REPORT, source: attemptSource("a0", attempt) });
  await assert.rejects(report(2), wireError(Code.NotFound, /report of attempt 2 of action a0/));
  await fixture.objects.put("s3://flyte-data/p/development/r1/a0/2/report.html", Buffer.from("<html>"));
  assert.deepEqual(await report(2), {
    uri: "s3://flyte-data/p/development/r1/a0/2/report.html",
    life: "3600",
    type: "text/html; charset=utf-8",
    file: "",
    expiresAt: 3600n,
  });
  await assert.rejects(report(1), wireError(Code.NotFound, /attempt 1/));
  await assert.rejects(report(3), wireError(Code.NotFound, /it has 2/));
});

test("attempt 0 is the latest; before the first there is none", async (t) => {
  const fixture = await dataProxyFixture(t);
  fixture.actions.set("a0", actionRecord({ attempts: 2 }));
  fixture.actions.set("a1", actionRecord({ attempts: 0 }));
  await fixture.objects.put("s3://flyte-data/p/development/r1/a0/2/report.html", Buffer.from("<html>"));
  const artifactType = ArtifactType.REPORT;
  const found = await link(fixture, { artifactType, source: attemptSource("a0", 0) });
  assert.match(
    JSON.stringify(found, (_, v) => (typeof v === "bigint" ? `${v}` : v)),
    /a0\/2\/report\.html/,
  );
  await assert.rejects(
    link(fixture, { artifactType, source: attemptSource("a1", 0) }),
    wireError(Code.NotFound, /not begun/),
  );
});

test("a link lives an hour by default and seven days at most", async (t) => {
  const fixture = await dataProxyFixture(t);
  fixture.actions.set("a0", actionRecord());
  await fixture.objects.put("s3://flyte-data/p/development/r1/a0/1/report.html", Buffer.from(""));
  const request = { artifactType: ArtifactType.REPORT, source: attemptSource("a0", 1) };
  const life = async (ms: number) => (await link(fixture, { ...request, expiresIn: toDuration(ms) })).expiresAt;
  assert.equal(await life(60_000), 60n);
  assert.equal(await life(30 * 24 * 3_600_000), 604_800n);
  await assert.rejects(life(-1), wireError(Code.InvalidArgument));
});

test("a code bundle of an action or a task, wherever its address is written", async (t) => {
  const fixture = await dataProxyFixture(t);
  await fixture.objects.put(bundle, Buffer.from("tar"));
  fixture.actions.set("a0", actionRecord({ attempts: 0, taskSpec: async () => withMetadata }));
  fixture.tasks.set("env.t", withArgs("a0", "--tgz", bundle, "--dest", "."));
  const artifactType = ArtifactType.CODE_BUNDLE;
  const taskId = { case: "taskId", value: { name: "env.t" } } as const;
  for (const source of [attemptSource("a0", 1), taskId]) {
    const expected = { uri: bundle, life: "3600", type: "", file: "fast1.tar.gz", expiresAt: 3600n };
    assert.deepEqual(await link(fixture, { artifactType, source }), expected);
  }
});

test("without a bundle there is no link, and the answer says why", async (t) => {
  const fixture = await dataProxyFixture(t);
  fixture.actions.set("a0", actionRecord({ taskSpec: async () => withArgs("a0", "--dest", ".") }));
  fixture.actions.set("a1", actionRecord({ taskSpec: async () => withMetadata }));
  fixture.actions.set("a2", actionRecord({ taskSpec: async () => withArgs("--tgz", "s3://elsewhere/x.tar.gz") }));
  fixture.actions.set("t1", actionRecord({ kind: "trace" }));
  const get = (name: string) =>
    link(fixture, { artifactType: ArtifactType.CODE_BUNDLE, source: attemptSource(name, 1) });
  await assert.rejects(get("a0"), wireError(Code.NotFound, /part of its image/));
  await assert.rejects(get("t1"), wireError(Code.NotFound, /part of its image/));
  await assert.rejects(get("a1"), wireError(Code.NotFound, /fast1\.tar\.gz does not exist/));
  await assert.rejects(get("a2"), wireError(Code.FailedPrecondition, /elsewhere/));
  await assert.rejects(get("none"), wireError(Code.NotFound));
});

test("other artifacts and sources are refused", async (t) => {
  const fixture = await dataProxyFixture(t);
  const taskId = { case: "taskId", value: { name: "env.t" } } as const;
  const appId = { case: "appId", value: { name: "app" } } as const;
  const [REPORT, CODE_BUNDLE] = [ArtifactType.REPORT, ArtifactType.CODE_BUNDLE];
  const invalid = wireError(Code.InvalidArgument);
  await assert.rejects(link(fixture, { artifactType: REPORT, source: taskId }), invalid);
  await assert.rejects(link(fixture, { artifactType: REPORT }), invalid);
  await assert.rejects(link(fixture, { artifactType: CODE_BUNDLE }), invalid);
  await assert.rejects(link(fixture, { source: attemptSource("a0", 1) }), invalid);
  await assert.rejects(link(fixture, { artifactType: CODE_BUNDLE, source: appId }), wireError(Code.Unimplemented));
  await assert.rejects(link(fixture, { artifactType: CODE_BUNDLE, source: taskId }), wireError(Code.NotFound));
});

test("where a bundle's address is looked for", () => {
  const cases: [ReturnType<typeof withArgs>, string | undefined][] = [
    [withMetadata, bundle],
    [withArgs("--tgz", "x"), "x"],
    [withArgs("--tgz=x"), "x"],
    [withArgs("--pkl", "y"), "y"],
    [withArgs("--pkl", "y", "--tgz", "x"), "x"],
    [withArgs("--tgz"), undefined],
    [withArgs(), undefined],
    [create(TaskSpecSchema), undefined],
  ];
  for (const [spec, expected] of cases) assert.equal(codeBundleUri(spec), expected);
});
