import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { test } from "node:test";
import { Code } from "@connectrpc/connect";
import { toDuration } from "@flyte-ts/core";
import { dataProxyFixture, wireError } from "./testing/fixture.ts";

const md5 = (text: string) => createHash("md5").update(text).digest();
const place = { project: "p", domain: "development" };

test("a code bundle goes below the base32 of its digest, and the headers to send come along", async (t) => {
  const { client } = await dataProxyFixture(t, { validate: true });
  const answer = await client.createUploadLocation({
    ...place,
    filename: "fast1.tar.gz",
    contentMd5: md5(""),
    addContentMd5Metadata: true,
    expiresIn: toDuration(900_000),
  });
  assert.equal(answer.nativeUrl, "s3://flyte-data/uploads/p/development/2QOYZWMPACZAJ2MABGMOZ6CCPY/fast1.tar.gz");
  assert.deepEqual(answer.headers, { "Content-MD5": md5("").toString("base64") });
  assert.equal(answer.expiresAt?.seconds, 900n);
  assert.match(answer.signedUrl, /life=900$/);
});

test("a folder's files lie below their common root, whatever they are called", async (t) => {
  const { client } = await dataProxyFixture(t);
  for (const filename of ["empty.md", "naïve 名前 (1).txt", "..hidden", "%2e%2e", "a..b", ".flyteignore", "𝄞"]) {
    const { nativeUrl } = await client.createUploadLocation({
      ...place,
      filename,
      filenameRoot: "0f3c",
      contentMd5: md5("x"),
    });
    assert.equal(nativeUrl, `s3://flyte-data/uploads/p/development/0f3c/${filename}`);
  }
  const nested = await client.createUploadLocation({ ...place, filename: "x", filenameRoot: "a/b c" });
  assert.ok(nested.nativeUrl.includes("/a b c/".replace("a b", "a/b")), nested.nativeUrl);
});

test("without a filename there is a random one", async (t) => {
  const { client } = await dataProxyFixture(t);
  const urls = new Set<string>();
  for (let i = 0; i < 3; i++) urls.add((await client.createUploadLocation({ ...place, filenameRoot: "r" })).nativeUrl);
  assert.equal(urls.size, 3);
  for (const url of urls) assert.match(url, /\/r\/[0-9a-f]{20}$/);
});

test("the life of the URL: 15 minutes by default, an hour at most", async (t) => {
  const { client } = await dataProxyFixture(t);
  const life = async (ms?: number) => {
    const request = {
      ...place,
      filename: "f",
      filenameRoot: "r",
      ...(ms !== undefined && { expiresIn: toDuration(ms) }),
    };
    return (await client.createUploadLocation(request)).expiresAt?.seconds;
  };
  assert.equal(await life(), 900n);
  assert.equal(await life(0), 900n);
  assert.equal(await life(60_000), 60n);
  assert.equal(await life(1_500), 2n);
  assert.equal(await life(7_200_000), 3600n);
  await assert.rejects(life(-1_000), wireError(Code.InvalidArgument, /expires_in/));
});

test("names that could lead elsewhere are refused", async (t) => {
  const { client } = await dataProxyFixture(t);
  const ok = { ...place, filename: "f", filenameRoot: "r", contentMd5: md5("x") };
  const evil = ["..", ".", "../x", "a/../b", "/etc", "a//b", "a/", "a\\..\\b", "a\u0000b", "a\nb", "x".repeat(256)];
  for (const name of evil) {
    for (const field of ["project", "domain", "filename", "filenameRoot"] as const) {
      const refused = client.createUploadLocation({ ...ok, [field]: name });
      await assert.rejects(
        refused,
        wireError(Code.InvalidArgument, /cannot be used/),
        `${field} ${JSON.stringify(name)}`,
      );
    }
  }
  await assert.rejects(
    client.createUploadLocation({ ...ok, filename: "a/b" }),
    wireError(Code.InvalidArgument, /slashes/),
  );
  await assert.rejects(client.createUploadLocation({ ...ok, project: "" }), wireError(Code.InvalidArgument, /project/));
  const long = Array.from({ length: 5 }, () => "y".repeat(250)).join("/");
  await assert.rejects(
    client.createUploadLocation({ ...ok, filenameRoot: long }),
    wireError(Code.InvalidArgument, /longer than 1024/),
  );
});

test("what is missing, malformed or too large is refused", async (t) => {
  const { client } = await dataProxyFixture(t, { limits: { maxUploadBytes: 1000 } });
  const call = (fields: object) => client.createUploadLocation({ ...place, filename: "f", ...fields });
  await assert.rejects(call({}), wireError(Code.InvalidArgument, /filename_root nor content_md5/));
  await assert.rejects(call({ contentMd5: md5("x").subarray(1) }), wireError(Code.InvalidArgument, /15 bytes/));
  await assert.rejects(call({ filenameRoot: "r", contentLength: 1001n }), wireError(Code.InvalidArgument, /1001/));
  await assert.rejects(call({ filenameRoot: "r", contentLength: -1n }), wireError(Code.InvalidArgument, /-1/));
  await call({ filenameRoot: "r", contentLength: 1000n });
  await assert.rejects(call({ filenameRoot: "r", project: "q" }), wireError(Code.NotFound, /q\/development/));
});

test("an existing object is replaced by nothing but itself", async (t) => {
  const { client, objects } = await dataProxyFixture(t);
  const request = { ...place, filename: "f", filenameRoot: "r" };
  await objects.put("s3://flyte-data/uploads/p/development/r/f", Buffer.from("content"));
  await client.createUploadLocation({ ...request, contentMd5: md5("content") });
  await assert.rejects(
    client.createUploadLocation({ ...request, contentMd5: md5("other") }),
    wireError(Code.AlreadyExists),
  );
  await assert.rejects(client.createUploadLocation(request), wireError(Code.AlreadyExists, /content_md5/));
});
