import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { objectStoreContract } from "../contract-suite.ts";
import { startTestEndpoint, type TestEndpoint } from "./test-endpoint.ts";

objectStoreContract("file with its endpoint", startTestEndpoint, { signedUrls: true });

describe("signed URLs of the file store", () => {
  let served: TestEndpoint;
  before(async () => {
    served = await startTestEndpoint();
  });
  after(async () => {
    await served.close();
  });
  const md5 = (text: string) => createHash("md5").update(text).digest();
  const read = async (uri: string) => Buffer.from(await served.store.get(uri)).toString();
  const put = (url: string, body: string, headers: Readonly<Record<string, string>> = {}) =>
    fetch(url, { method: "PUT", body, headers });
  const code = async (answer: Response) => [answer.status, /<Code>(.*)<\/Code>/.exec(await answer.text())?.[1]];

  it("uploads the bound content, again if the client repeats itself, and nothing else", async () => {
    const uri = "s3://flyte-data/p/d/fast+é%.tar.gz";
    const { url, headers } = await served.store.signUpload(uri, { expiresInSeconds: 60, contentMd5: md5("code") });
    assert.deepEqual(Object.keys(headers), ["Content-MD5"]);
    assert.deepEqual(await code(await put(url, "evil", headers)), [400, "BadDigest"]);
    const forged = { "Content-MD5": md5("evil").toString("base64") };
    assert.deepEqual(await code(await put(url, "evil", forged)), [403, "SignatureDoesNotMatch"]);
    assert.deepEqual(await code(await put(url, "code")), [403, "AccessDenied"]);
    assert.equal(await served.store.head(uri), undefined);
    const first = await put(url, "code", headers);
    const second = await put(url, "code", headers);
    assert.deepEqual([first.status, second.status], [200, 200]);
    assert.equal(first.headers.get("etag"), second.headers.get("etag"));
    assert.equal(await read(uri), "code");
  });

  it("does not replace what came to be there by other means", async () => {
    const uri = "s3://flyte-data/p/other";
    const { url, headers } = await served.store.signUpload(uri, { expiresInSeconds: 60, contentMd5: md5("mine") });
    await served.store.put(uri, Buffer.from("theirs"));
    assert.deepEqual(await code(await put(url, "mine", headers)), [409, "ObjectAlreadyExists"]);
    assert.equal(await read(uri), "theirs");
  });

  it("works once when no content is bound, also when used many times at once", async () => {
    const uri = "s3://flyte-data/p/once";
    const { url, headers } = await served.store.signUpload(uri, { expiresInSeconds: 60 });
    assert.deepEqual(headers, {});
    const answers = await Promise.all(Array.from({ length: 6 }, (_, i) => put(url, `body ${i}`)));
    const statuses = answers.map((answer) => answer.status);
    assert.deepEqual([...statuses].sort(), [200, 409, 409, 409, 409, 409]);
    assert.equal(await read(uri), `body ${statuses.indexOf(200)}`);
    assert.deepEqual(await code(await put(url, "late")), [409, "ObjectAlreadyExists"]);
  });

  it("is only what it was signed for", async () => {
    const uri = "s3://flyte-data/p/bound";
    const { url } = await served.store.signUpload(uri, { expiresInSeconds: 60 });
    const altered = [
      url.replace("/p/bound", "/p/other-key"),
      url.replace("X-Amz-Expires=60", "X-Amz-Expires=3600"),
      url.replace("flyte-upload=once", "flyte-upload=more"),
      url.replace("&flyte-upload=once", "").replace("flyte-upload=once&", ""),
      url.replace(/(X-Amz-Signature=.)./, (_, start: string) => `${start}${url.includes(`${start}0`) ? 1 : 0}`),
      `${url}&x-amz-acl=public-read`,
      url.replace("127.0.0.1", "localhost"),
    ];
    for (const bad of altered) {
      assert.notEqual(bad, url);
      assert.deepEqual(await code(await put(bad, "x")), [403, "SignatureDoesNotMatch"], bad);
    }
    const doubled = await put(`${url}&X-Amz-Expires=3600`, "x");
    assert.deepEqual(await code(doubled), [400, "InvalidArgument"]);
    assert.deepEqual(await code(await put(url, "x", { "x-amz-meta-a": "b" })), [403, "AccessDenied"]);
    assert.deepEqual(await code(await fetch(url)), [403, "SignatureDoesNotMatch"]);
    assert.deepEqual(await code(await fetch(url, { method: "DELETE" })), [403, "SignatureDoesNotMatch"]);
    assert.deepEqual((await served.store.list("s3://flyte-data/p/bound")).objects, []);
    assert.equal(await served.store.head("s3://flyte-data/p/other-key"), undefined);
  });

  it("expires, and says so in the words the SDK looks for", async () => {
    const uri = "s3://flyte-data/p/expired";
    const { url, expiresAt } = await served.store.signUpload(uri, { expiresInSeconds: 60 });
    assert.ok(Math.abs(expiresAt.getTime() - Date.now() - 60_000) < 30_000);
    served.advance(62_000);
    const answer = await put(url, "late");
    const text = await answer.text();
    served.advance(-62_000);
    assert.equal(answer.status, 403);
    assert.match(text, /<Code>AccessDenied<\/Code><Message>Request has expired<\/Message>/);
    assert.equal(await served.store.head(uri), undefined);
    served.advance(-20 * 60_000);
    const early = await put(url, "early");
    served.advance(20 * 60_000);
    assert.match(await early.text(), /Request is not valid yet/);
  });

  it("refuses lives beyond the limits", async () => {
    const uri = "s3://flyte-data/x";
    for (const expiresInSeconds of [0, -1, 1.5, 3601, Number.NaN]) {
      await assert.rejects(served.store.signUpload(uri, { expiresInSeconds }), RangeError);
    }
    await assert.rejects(served.store.signDownload(uri, { expiresInSeconds: 7 * 86400 + 1 }), RangeError);
  });

  it("downloads with the type and name that were signed", async () => {
    const uri = "s3://flyte-data/p/report.html";
    await served.store.put(uri, Buffer.from("<p>hi"), { contentType: "text/plain" });
    const { url } = await served.store.signDownload(uri, {
      expiresInSeconds: 60,
      contentType: "text/html",
      fileName: 'rep"ort é.html',
    });
    const answer = await fetch(url);
    assert.deepEqual([answer.status, answer.headers.get("content-type")], [200, "text/html"]);
    assert.equal(
      answer.headers.get("content-disposition"),
      `attachment; filename="rep_ort _.html"; filename*=UTF-8''rep%22ort%20%C3%A9.html`,
    );
    assert.match(answer.headers.get("content-security-policy") ?? "", /^sandbox/);
    assert.equal(await answer.text(), "<p>hi");
    const swapped = url.replace("text%2Fhtml", "text%2Fjs");
    assert.deepEqual(await code(await fetch(swapped)), [403, "SignatureDoesNotMatch"]);
    assert.deepEqual(await code(await put(url, "x")), [403, "SignatureDoesNotMatch"]);
  });
});
