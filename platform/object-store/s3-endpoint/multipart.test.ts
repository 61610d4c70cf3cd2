import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { filesBelow, signedFetch, startTestEndpoint, type TestEndpoint } from "./test-endpoint.ts";

describe("uploads in parts", () => {
  let served: TestEndpoint;
  before(async () => {
    served = await startTestEndpoint();
  });
  after(async () => {
    await served.close();
  });

  const send = (method: string, key: string, query: Record<string, string>, body?: string | Uint8Array, headers = {}) =>
    signedFetch(served.url, {
      method,
      path: `/flyte-data/${key}`,
      query,
      headers,
      ...(body !== undefined && { body }),
    });
  const begin = async (key: string, headers = {}) => {
    const answer = await send("POST", key, { uploads: "" }, undefined, headers);
    return /<UploadId>(.*)<\/UploadId>/.exec(await answer.text())?.[1] ?? "";
  };
  const part = async (key: string, uploadId: string, partNumber: number, body: string | Uint8Array) => {
    const answer = await send("PUT", key, { partNumber: String(partNumber), uploadId }, body);
    assert.equal(answer.status, 200, await answer.clone().text());
    return { number: partNumber, etag: answer.headers.get("etag") ?? "" };
  };
  const complete = (key: string, uploadId: string, parts: { number: number; etag: string }[], headers = {}) => {
    const xml = parts.map(({ number, etag }) => `<Part><PartNumber>${number}</PartNumber><ETag>${etag}</ETag></Part>`);
    const body = `<CompleteMultipartUpload>${xml.join("")}</CompleteMultipartUpload>`;
    return send("POST", key, { uploadId }, body, headers);
  };
  const code = async (answer: Response) => [answer.status, /<Code>(.*)<\/Code>/.exec(await answer.text())?.[1]];

  it("joins parts sent in any order and at once, replacing those sent again", async () => {
    const id = await begin("big", { "content-type": "app/x", "x-amz-meta-a": "b" });
    const blocks = Array.from({ length: 12 }, () => randomBytes(300_000));
    await part("big", id, 7, "overwritten below");
    const order = blocks.map((_, i) => i).sort(() => Math.random() - 0.5);
    const parts = await Promise.all(order.map((i) => part("big", id, i + 1, blocks[i] as Buffer)));
    assert.equal(await served.store.head("s3://flyte-data/big"), undefined);
    parts.sort((a, b) => a.number - b.number);
    const answer = await complete("big", id, parts);
    assert.match(await answer.text(), /<ETag>&#34;[0-9a-f]{32}-12&#34;<\/ETag>/);
    const stored = await served.store.get("s3://flyte-data/big");
    const sum = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
    assert.equal(sum(stored), sum(Buffer.concat(blocks)));
    const head = await served.store.head("s3://flyte-data/big");
    assert.deepEqual([head?.contentType, head?.metadata, head?.md5], ["app/x", { a: "b" }, undefined]);
    // A client that lost the answer asks again.
    assert.equal((await complete("big", id, parts)).status, 200);
    assert.deepEqual(await filesBelow(served.store.layout.uploads), []);
  });

  it("leaves out parts that are not named", async () => {
    const id = await begin("some");
    const parts = [await part("some", id, 3, "c"), await part("some", id, 10_000, "z")];
    await part("some", id, 5, "unused");
    assert.equal((await complete("some", id, parts)).status, 200);
    assert.equal(Buffer.from(await served.store.get("s3://flyte-data/some")).toString(), "cz");
  });

  it("refuses wrong completions and stays usable", async () => {
    const id = await begin("wrong");
    const one = await part("wrong", id, 1, "1");
    const two = await part("wrong", id, 2, "2");
    assert.deepEqual(await code(await complete("wrong", id, [two, one])), [400, "InvalidPartOrder"]);
    assert.deepEqual(await code(await complete("wrong", id, [one, one])), [400, "InvalidPartOrder"]);
    assert.deepEqual(await code(await complete("wrong", id, [{ ...one, etag: two.etag }])), [400, "InvalidPart"]);
    assert.deepEqual(await code(await complete("wrong", id, [one, { ...two, number: 3 }])), [400, "InvalidPart"]);
    assert.deepEqual(await code(await complete("wrong", id, [])), [400, "MalformedXML"]);
    assert.deepEqual(await code(await complete("other-key", id, [one])), [404, "NoSuchUpload"]);
    assert.equal(await served.store.head("s3://flyte-data/wrong"), undefined);
    await served.store.put("s3://flyte-data/wrong", Buffer.from("there"));
    const absent = { "if-none-match": "*" };
    assert.deepEqual(await code(await complete("wrong", id, [one, two], absent)), [412, "PreconditionFailed"]);
    assert.equal((await complete("wrong", id, [one, two])).status, 200);
  });

  it("refuses parts of unknown, aborted and forged uploads", async () => {
    const id = await begin("gone");
    await part("gone", id, 1, "1");
    assert.equal((await send("DELETE", "gone", { uploadId: id })).status, 204);
    for (const uploadId of [id, "0".repeat(32), "../../buckets/flyte-data", "..", ""]) {
      const put = await send("PUT", "gone", { partNumber: "1", uploadId }, "x");
      assert.deepEqual(await code(put), [404, "NoSuchUpload"], uploadId);
      assert.deepEqual(await code(await send("DELETE", "gone", { uploadId })), [404, "NoSuchUpload"]);
    }
    const other = await begin("gone");
    for (const partNumber of ["0", "10001", "-1", "x", ""]) {
      const put = await send("PUT", "gone", { partNumber, uploadId: other }, "x");
      assert.deepEqual(await code(put), [400, "InvalidArgument"], partNumber);
    }
    assert.equal((await send("DELETE", "gone", { uploadId: other })).status, 204);
  });

  it("sweeps uploads that were left alone for a day, and only those", async () => {
    const id = await begin("abandoned");
    await part("abandoned", id, 1, "1");
    assert.equal(await served.endpoint.sweepUploads(), 0);
    served.advance(25 * 3600_000);
    assert.equal(await served.endpoint.sweepUploads(), 1);
    served.advance(-25 * 3600_000);
    const put = await send("PUT", "abandoned", { partNumber: "2", uploadId: id }, "x");
    assert.deepEqual(await code(put), [404, "NoSuchUpload"]);
  });
});
