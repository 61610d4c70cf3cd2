import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { ArtifactType } from "@flyte-ts/contract/flyteidl2/dataproxy/dataproxy_service_pb.ts";
import { toDuration } from "@flyte-ts/core";
import { actionId, actionRecord, servedDataProxy } from "./testing/fixture.ts";

const md5 = (data: string) => createHash("md5").update(data).digest();

/** As the SDK sends it: the answer's headers, then its own. */
function put(signedUrl: string, headers: Record<string, string>, body: string): Promise<Response> {
  return fetch(signedUrl, {
    method: "PUT",
    body,
    headers: { ...headers, "Content-MD5": md5(body).toString("base64") },
  });
}

test("a file goes up by the signed URL under any name, and comes down unchanged", async (t) => {
  const { client, objects } = await servedDataProxy(t);
  for (const filename of ["fast1.tar.gz", "naïve 名前 + & ?#%2e%2e (1).txt"]) {
    const body = `content of ${filename}`;
    const location = await client.createUploadLocation({
      project: "p",
      domain: "development",
      filename,
      filenameRoot: "0f 3c",
      contentMd5: md5(body),
      addContentMd5Metadata: true,
      expiresIn: toDuration(900_000),
    });
    assert.equal((await put(location.signedUrl, location.headers, body)).status, 200);
    assert.equal(Buffer.from(await objects.get(location.nativeUrl)).toString(), body);
    assert.ok(location.nativeUrl.endsWith(`/0f 3c/${filename}`));
    assert.equal((await put(location.signedUrl, location.headers, body)).status, 200, "a client's retry");
  }
});

test("the URL stores the announced content at the announced place, for its time, and nothing else", async (t) => {
  const { client, objects, advance } = await servedDataProxy(t);
  const request = { project: "p", domain: "development", filename: "f", contentMd5: md5("good") };
  const { signedUrl, headers, nativeUrl } = await client.createUploadLocation(request);
  assert.ok((await put(signedUrl, headers, "evil")).status >= 400);
  assert.ok((await put(signedUrl.replace("/f?", "/g?"), headers, "good")).status >= 400);
  assert.ok((await put(signedUrl.replace("Expires=900", "Expires=9000"), headers, "good")).status >= 400);
  assert.ok((await put(signedUrl.replace("/development/", "/development/../../x/"), headers, "good")).status >= 400);
  assert.ok((await fetch(signedUrl)).status >= 400, "it does not read");
  advance(901_000);
  const late = await put(signedUrl, headers, "good");
  assert.equal(late.status, 403);
  assert.match(await late.text(), /Request has expired/);
  assert.equal(await objects.head(nativeUrl), undefined);
});

test("a report is read by its link, as a page, until it expires", async (t) => {
  const { client, objects, actions, advance } = await servedDataProxy(t);
  actions.set("a0", actionRecord());
  await objects.put(`${actionRecord().attemptUri(1)}/report.html`, Buffer.from("<h1>né</h1>"));
  const source = { case: "actionAttemptId", value: { actionId: actionId("a0"), attempt: 1 } } as const;
  const { preSignedUrls } = await client.createDownloadLink({ artifactType: ArtifactType.REPORT, source });
  const url = preSignedUrls?.signedUrl[0] ?? "";
  const page = await fetch(url);
  assert.equal(page.headers.get("content-type"), "text/html; charset=utf-8");
  assert.equal(await page.text(), "<h1>né</h1>");
  assert.ok((await fetch(url.replace("report.html", "error.pb"))).status >= 400);
  advance(3_601_000);
  assert.equal((await fetch(url)).status, 403);
});
