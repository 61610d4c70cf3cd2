import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { after, before, describe, it } from "node:test";
import {
  rawRequest,
  type SignedFetch,
  signedFetch,
  signedRaw,
  signRequest,
  startTestEndpoint,
  type TestEndpoint,
} from "./test-endpoint.ts";

describe("embedded S3 endpoint", () => {
  let served: TestEndpoint;
  before(async () => {
    served = await startTestEndpoint();
    await served.store.put("s3://flyte-data/digits", Buffer.from("0123456789"), { contentType: "text/plain" });
  });
  after(async () => {
    await served.close();
  });
  const send = (request: SignedFetch) => signedFetch(served.url, request);
  const refused = async (answer: Response, status: number, code: string) => {
    const text = await answer.text();
    assert.deepEqual([answer.status, /<Code>(.*)<\/Code>/.exec(text)?.[1]], [status, code], text);
    assert.equal(answer.headers.get("content-length"), String(Buffer.byteLength(text)));
    return text;
  };
  const nothingStored = async (key: string) =>
    assert.equal(await served.store.head(`s3://flyte-data/${key}`), undefined);

  describe("signatures", () => {
    it("takes any region the client has signed for", async () => {
      for (const region of ["us-east-1", "mars-north-7"]) {
        assert.equal((await send({ path: "/flyte-data/digits", region })).status, 200);
      }
    });

    it("signs over the raw path, whatever the key holds", async () => {
      const path = "/flyte-data/a%20b/%C3%A9%2B%25%3F/x%27";
      assert.equal((await send({ method: "PUT", path, body: "odd" })).status, 200);
      assert.equal(Buffer.from(await served.store.get("s3://flyte-data/a b/é+%?/x'")).toString(), "odd");
    });

    it("refuses a wrong secret, an unknown key, and no signature", async () => {
      const wrong = await send({ method: "PUT", path: "/flyte-data/w", body: "x", secret: "guess" });
      await refused(wrong, 403, "SignatureDoesNotMatch");
      const unknown = await send({ method: "PUT", path: "/flyte-data/w", body: "x", accessKeyId: "AKOTHER" });
      await refused(unknown, 403, "InvalidAccessKeyId");
      await refused(await fetch(`${served.url}/flyte-data/digits`), 403, "AccessDenied");
      const head = await fetch(`${served.url}/flyte-data/digits`, { method: "HEAD" });
      assert.equal(head.status, 403);
      const basic = await fetch(`${served.url}/flyte-data/digits`, { headers: { authorization: "Basic eDp5" } });
      await refused(basic, 400, "AuthorizationHeaderMalformed");
      await nothingStored("w");
    });

    it("refuses every part of a request that was altered after signing", async () => {
      const { url, init } = signRequest(served.url, { method: "PUT", path: "/flyte-data/alter", body: "x" });
      const headers = init.headers as Record<string, string>;
      await refused(await fetch(`${url}ed`, init), 403, "SignatureDoesNotMatch");
      await refused(await fetch(`${url}?partNumber=1`, init), 403, "SignatureDoesNotMatch");
      await refused(await fetch(url, { ...init, method: "POST" }), 403, "SignatureDoesNotMatch");
      const more = { ...init, headers: { ...headers, "x-amz-copy-source": "flyte-data/digits" } };
      await refused(await fetch(url, more), 403, "AccessDenied");
      const hash = createHash("sha256").update("y").digest("hex");
      const other = { ...init, body: "y", headers: { ...headers, "x-amz-content-sha256": hash } };
      await refused(await fetch(url, other), 403, "SignatureDoesNotMatch");
      const host = await rawRequest(served.url, "/flyte-data/digits", {
        headers: { ...(signRequest(served.url, { path: "/flyte-data/digits" }).init.headers as object), host: "evil" },
      });
      assert.equal(host.status, 403);
      await nothingStored("alter");
      await nothingStored("altered");
    });

    it("refuses a body that is not the one signed, and leaves the old object", async () => {
      await served.store.put("s3://flyte-data/hash", Buffer.from("old"));
      const { url, init } = signRequest(served.url, { method: "PUT", path: "/flyte-data/hash", body: "new" });
      await refused(await fetch(url, { ...init, body: "NEW" }), 400, "XAmzContentSHA256Mismatch");
      assert.equal(Buffer.from(await served.store.get("s3://flyte-data/hash")).toString(), "old");
    });

    it("refuses unsigned and chunk-signed payloads in the header form", async () => {
      const put = { method: "PUT", path: "/flyte-data/u", body: "x" };
      await refused(await send({ ...put, payloadHash: "UNSIGNED-PAYLOAD" }), 400, "InvalidRequest");
      const chunked = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
      await refused(await send({ ...put, payloadHash: chunked }), 501, "NotImplemented");
      await nothingStored("u");
    });

    it("refuses a clock that is off by more than 15 minutes", async () => {
      for (const minutes of [-16, 16]) {
        const date = new Date(Date.now() + minutes * 60_000);
        await refused(await send({ path: "/flyte-data/digits", date }), 403, "RequestTimeTooSkewed");
      }
      const date = new Date(Date.now() - 14 * 60_000);
      assert.equal((await send({ path: "/flyte-data/digits", date })).status, 200);
    });

    it("refuses malformed claims without falling over", async () => {
      const { url, init } = signRequest(served.url, { path: "/flyte-data/digits" });
      const headers = init.headers as Record<string, string>;
      const good = headers.authorization as string;
      const bad = [
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 ",
        good.replace("/s3/", "/ec2/"),
        good.replace(/Signature=.*/, "Signature=zz"),
        good.replace(/Signature=.*/, `Signature=${"0".repeat(63)}`),
        good.replace("SignedHeaders=host;", "SignedHeaders=x;host;"),
        good.replace("SignedHeaders=host;", "SignedHeaders="),
        good.replace(/Credential=[^,]*/, "Credential=///"),
        good.replace(/\/\d{8}\//, "/20200101/"),
      ];
      for (const authorization of bad) {
        const answer = await fetch(url, { headers: { ...headers, authorization } });
        assert.ok([400, 403].includes(answer.status), `${authorization}: ${answer.status}`);
        await answer.arrayBuffer();
      }
      assert.equal((await fetch(url, { headers })).status, 200);
    });
  });

  describe("objects", () => {
    it("answers PUT, HEAD and GET with what clients need", async () => {
      const path = "/flyte-data/r/report.html";
      const headers = { "content-type": "text/html", "x-amz-meta-content_type": "text/html" };
      const put = await send({ method: "PUT", path, body: "<p>", headers });
      assert.deepEqual([put.status, put.headers.get("content-length")], [200, "0"]);
      assert.match(put.headers.get("etag") ?? "", /^"[0-9a-f]{32}"$/);
      const head = await send({ method: "HEAD", path });
      assert.deepEqual(
        ["content-length", "content-type", "x-amz-meta-content_type", "etag"].map((name) => head.headers.get(name)),
        ["3", "text/html", "text/html", put.headers.get("etag")],
      );
      const get = await send({ path });
      assert.equal(get.headers.get("content-length"), "3");
      assert.match(get.headers.get("content-security-policy") ?? "", /sandbox/);
      assert.equal(await get.text(), "<p>");
    });

    it("answers ranges as HTTP has them", async () => {
      const cases: [string, number, string | null, string][] = [
        ["bytes=0-3", 206, "bytes 0-3/10", "0123"],
        ["bytes=8-16777215", 206, "bytes 8-9/10", "89"],
        ["bytes=5-", 206, "bytes 5-9/10", "56789"],
        ["bytes=-3", 206, "bytes 7-9/10", "789"],
        ["bytes=-99", 206, "bytes 0-9/10", "0123456789"],
        ["bytes=5-2", 200, null, "0123456789"],
        ["bytes=0-1,3-4", 200, null, "0123456789"],
      ];
      for (const [range, status, contentRange, body] of cases) {
        const answer = await send({ path: "/flyte-data/digits", headers: { range } });
        assert.deepEqual(
          [answer.status, answer.headers.get("content-range"), answer.headers.get("content-length")],
          [status, contentRange, String(body.length)],
          range,
        );
        assert.equal(await answer.text(), body);
      }
      const beyond = await send({ path: "/flyte-data/digits", headers: { range: "bytes=10-" } });
      assert.equal(beyond.headers.get("content-range"), "bytes */10");
      await refused(beyond, 416, "InvalidRange");
    });

    it("answers what is missing", async () => {
      await refused(await send({ path: "/flyte-data/none" }), 404, "NoSuchKey");
      const head = await send({ method: "HEAD", path: "/flyte-data/none" });
      assert.deepEqual([head.status, await head.text()], [404, ""]);
      await refused(await send({ path: "/no-such-bucket/x" }), 404, "NoSuchBucket");
      assert.equal((await send({ method: "HEAD", path: "/flyte-data" })).status, 200);
      assert.equal((await send({ method: "DELETE", path: "/flyte-data/none" })).status, 204);
    });

    it("honours conditions", async () => {
      const path = "/flyte-data/cond";
      const once = { method: "PUT", path, headers: { "if-none-match": "*" } };
      const first = await send({ ...once, body: "1" });
      const etag = first.headers.get("etag") ?? "";
      await refused(await send({ ...once, body: "2" }), 412, "PreconditionFailed");
      assert.equal((await send({ path, headers: { "if-none-match": etag } })).status, 304);
      await refused(await send({ path, headers: { "if-match": '"other"' } }), 412, "PreconditionFailed");
      await refused(
        await send({ method: "PUT", path, headers: { "if-match": etag }, body: "3" }),
        501,
        "NotImplemented",
      );
      assert.equal(await (await send({ path, headers: { "if-match": etag } })).text(), "1");
    });

    it("checks the digests a client adds", async () => {
      const put = (headers: Record<string, string>) =>
        send({ method: "PUT", path: "/flyte-data/sum", body: "a", headers });
      const md5 = createHash("md5").update("b").digest("base64");
      const sha1 = createHash("sha1").update("b").digest("base64");
      await refused(await put({ "content-md5": md5 }), 400, "BadDigest");
      await refused(await put({ "content-md5": "short" }), 400, "InvalidDigest");
      await refused(await put({ "x-amz-checksum-sha1": sha1 }), 400, "BadDigest");
      await refused(await put({ "x-amz-checksum-crc32": "AAAAAA==" }), 400, "BadDigest");
      await refused(await put({ "x-amz-checksum-crc64nvme": "AAAAAAAAAAA=" }), 501, "NotImplemented");
      await nothingStored("sum");
      assert.equal((await put({ "x-amz-checksum-crc32": "6Le+Qw==" })).status, 200);
    });

    it("refuses by name what it does not do", async () => {
      const cases: SignedFetch[] = [
        { path: "/flyte-data/digits", query: { acl: "" } },
        { path: "/flyte-data/digits", query: { versionId: "1" } },
        { path: "/flyte-data", query: { location: "" } },
        { path: "/flyte-data" },
        { method: "PUT", path: "/flyte-data" },
        { method: "PUT", path: "/flyte-data/x", body: "x", query: { tagging: "" } },
        { method: "PUT", path: "/flyte-data/x", body: "x", query: { "flyte-upload": "once", legal: "1" } },
        { method: "PUT", path: "/flyte-data/x", body: "x", headers: { "x-amz-server-side-encryption": "AES256" } },
        { method: "PUT", path: "/flyte-data/x", body: "x", headers: { "content-encoding": "aws-chunked" } },
        { method: "POST", path: "/flyte-data/x", query: { select: "" } },
        { method: "DELETE", path: "/flyte-data" },
      ];
      for (const request of cases) await refused(await send(request), 501, "NotImplemented");
      await nothingStored("x");
      const chunked = signRequest(served.url, { method: "PUT", path: "/flyte-data/x" });
      const answer = await rawRequest(served.url, "/flyte-data/x", {
        method: "PUT",
        headers: { ...(chunked.init.headers as Record<string, string>), "transfer-encoding": "chunked" },
      });
      assert.deepEqual([answer.status, /MissingContentLength/.test(answer.text)], [411, true]);
    });

    it("refuses every way out of the bucket", async () => {
      for (const path of [
        "/flyte-data/../flyte-data/digits",
        "/flyte-data/a/../../../etc/passwd",
        "/flyte-data/%2e%2e/x",
        "/flyte-data/%2E%2E%2F%2E%2E%2Fetc%2Fpasswd",
        "/flyte-data//etc/passwd",
        "/flyte-data/a%00b",
        "/flyte-data/%ff",
        "/flyte-data/%zz",
        `/flyte-data/${"k".repeat(1025)}`,
      ]) {
        for (const method of ["GET", "PUT", "DELETE"]) {
          const answer = await signedRaw(served.url, { method, path, ...(method === "PUT" && { body: "x" }) });
          assert.ok([400, 403].includes(answer.status), `${method} ${path}: ${answer.status}`);
        }
        const copied = path.slice(1);
        const headers = { "x-amz-copy-source": copied };
        const copy = await signedRaw(served.url, { method: "PUT", path: "/flyte-data/copied", headers });
        assert.equal(copy.status, 400, copied);
      }
      for (const path of ["/../etc/passwd", "/%2e%2e/etc/passwd", "/..%2fetc/passwd"]) {
        const answer = await signedRaw(served.url, { path });
        assert.deepEqual([answer.status, /NoSuchBucket/.test(answer.text)], [404, true]);
      }
    });

    it("leaves other requests to others", async () => {
      for (const path of ["/", "/healthz", "/flyte-datax/y", "/flyteidl2.x.Service/Method", "/v2/?X-Amz-Signatur=1"]) {
        const answer = await rawRequest(served.url, path);
        assert.deepEqual([answer.status, answer.text], [418, "not for S3"], path);
      }
    });
  });

  describe("lists and deletes", () => {
    before(async () => {
      for (const key of ["l/a&b", "l/<c>", "l/d e/f", "l/é"])
        await served.store.put(`s3://flyte-data/${key}`, Buffer.from(key));
    });
    const list = async (query: Record<string, string>) => {
      const answer = await send({ path: "/flyte-data", query: { "list-type": "2", ...query } });
      const text = await answer.text();
      assert.equal(answer.status, 200, text);
      return text;
    };

    it("escapes keys, or encodes them when asked", async () => {
      const plain = await list({ prefix: "l/", delimiter: "/" });
      for (const part of [
        "<Key>l/&#60;c&#62;</Key>",
        "<Key>l/a&#38;b</Key>",
        "<Key>l/é</Key>",
        "<Prefix>l/d e/</Prefix>",
      ]) {
        assert.ok(plain.includes(part), `${part} in ${plain}`);
      }
      assert.match(plain, /<KeyCount>4<\/KeyCount><IsTruncated>false<\/IsTruncated>/);
      const encoded = await list({ prefix: "l/", "encoding-type": "url" });
      assert.ok(encoded.includes("<Key>l/d%20e/f</Key>") && encoded.includes("<Key>l/%C3%A9</Key>"), encoded);
    });

    it("pages with opaque tokens", async () => {
      const keys: string[] = [];
      let token: string | undefined;
      do {
        const page = await list({
          prefix: "l/",
          "max-keys": "1",
          ...(token !== undefined && { "continuation-token": token }),
        });
        keys.push(/<Key>(.*)<\/Key>/.exec(page)?.[1] ?? "");
        token = /<NextContinuationToken>(.*)<\/NextContinuationToken>/.exec(page)?.[1];
      } while (token !== undefined);
      assert.deepEqual(keys, ["l/&#60;c&#62;", "l/a&#38;b", "l/d e/f", "l/é"]);
      assert.ok((await list({ prefix: "l/", "start-after": "l/b" })).includes("<KeyCount>2</KeyCount>"));
      assert.ok((await list({ prefix: "l/", "max-keys": "0" })).includes("<KeyCount>0</KeyCount>"));
      const invalid: Record<string, string>[] = [
        { "continuation-token": "!" },
        { "max-keys": "-1" },
        { "encoding-type": "xml" },
      ];
      for (const bad of invalid) {
        await refused(await send({ path: "/flyte-data", query: { "list-type": "2", ...bad } }), 400, "InvalidArgument");
      }
    });

    it("deletes many, reporting absent ones as deleted", async () => {
      await served.store.put("s3://flyte-data/del/a&b", Buffer.from("x"));
      const body =
        "<Delete><Object><Key>del/a&amp;b</Key></Object><Object><Key>del/absent</Key></Object>" +
        "<Object><Key>../../x</Key></Object></Delete>";
      const md5 = createHash("md5").update(body).digest("base64");
      const remove = (content: string) =>
        send({
          method: "POST",
          path: "/flyte-data",
          query: { delete: "" },
          body: content,
          headers: { "content-md5": md5 },
        });
      const text = await (await remove(body)).text();
      assert.match(text, /<Deleted><Key>del\/a&#38;b<\/Key><\/Deleted><Deleted><Key>del\/absent<\/Key><\/Deleted>/);
      assert.match(text, /<Error><Key>..\/..\/x<\/Key><Code>InvalidArgument<\/Code>/);
      await nothingStored("del/a&b");
      await refused(await remove("<Delete/>"), 400, "BadDigest");
    });

    it("takes the bare ?delete that clients send", async () => {
      const body = "<Delete><Object><Key>bare</Key></Object></Delete>";
      const { init } = signRequest(served.url, { method: "POST", path: "/flyte-data", query: { delete: "" }, body });
      assert.equal((await fetch(`${served.url}/flyte-data?delete`, init)).status, 200);
    });

    it("refuses XML that is malformed or hostile", async () => {
      const bodies = [
        "",
        "garbage",
        "<Delete>",
        "<Delete><Object></Delete>",
        "<Other/>",
        "<Delete></Delete>",
        '<!DOCTYPE x [<!ENTITY a "aa">]><Delete><Object><Key>&a;</Key></Object></Delete>',
      ];
      for (const body of bodies) {
        const query = { delete: "" };
        await refused(await send({ method: "POST", path: "/flyte-data", query, body }), 400, "MalformedXML");
      }
    });
  });

  it("never lets a failure of its own through", async () => {
    assert.deepEqual(served.failures, []);
  });
});
