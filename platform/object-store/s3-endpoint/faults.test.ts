import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, readdir, rm, truncate } from "node:fs/promises";
import { request as httpRequest } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { StoreFullError } from "../errors.ts";
import { filesBelow, signedFetch, signRequest, startTestEndpoint, type TestEndpoint, until } from "./test-endpoint.ts";

const temporaryFiles = (folder: string) => filesBelow(join(folder, "tmp"));

describe("faults of clients and disks", () => {
  it("keeps nothing of an upload whose client dies", async (t) => {
    const served = await startTestEndpoint();
    t.after(() => served.close());
    const body = randomBytes(4 << 20);
    await served.store.put("s3://flyte-data/half", Buffer.from("old"));
    const { url, init } = signRequest(served.url, { method: "PUT", path: "/flyte-data/half", body });
    const headers = { ...(init.headers as Record<string, string>), "content-length": String(body.length) };
    const req = httpRequest(url, { method: "PUT", headers });
    const closed = new Promise((resolve) => req.once("close", resolve));
    req.once("error", () => {});
    req.write(body.subarray(0, 3 << 20));
    await until(async () => (await temporaryFiles(served.folder)).length === 1);
    req.destroy();
    await closed;
    await until(async () => (await temporaryFiles(served.folder)).length === 0);
    assert.equal(Buffer.from(await served.store.get("s3://flyte-data/half")).toString(), "old");
    assert.deepEqual(served.failures, []);
  });

  it("lets go of an object whose reader goes away", async (t) => {
    const served = await startTestEndpoint();
    t.after(() => served.close());
    await served.store.put("s3://flyte-data/large", Buffer.alloc(32 << 20, 1));
    const open = async () => (await readdir("/proc/self/fd").catch(() => [])).length;
    const { url, init } = signRequest(served.url, { path: "/flyte-data/large" });
    const { hostname, port, pathname } = new URL(url);
    const before = await open();
    for (let i = 0; i < 5; i++) {
      const socket = connect(Number(port), hostname);
      const lines = Object.entries(init.headers as Record<string, string>).map(([name, value]) => `${name}: ${value}`);
      socket.write(`GET ${pathname} HTTP/1.1\r\n${lines.join("\r\n")}\r\n\r\n`);
      await new Promise((resolve) => socket.once("data", resolve));
      socket.destroy();
    }
    await until(async () => (await open()) <= before + 1);
    assert.deepEqual(served.failures, []);
  });

  it("refuses to serve an object whose file was cut short", async (t) => {
    const served = await startTestEndpoint();
    t.after(() => served.close());
    await served.store.put("s3://flyte-data/damaged", Buffer.alloc(100_000, 1));
    const [path = ""] = (await filesBelow(join(served.folder, "buckets"))).filter((name) => name.endsWith("damaged"));
    await truncate(path, 50_000);
    const answer = await signedFetch(served.url, { path: "/flyte-data/damaged" });
    assert.equal(answer.status, 503);
    assert.match(await answer.text(), /ServiceUnavailable.*not a whole object.*restore or delete/);
    assert.equal(served.failures.length, 1);
  });

  const mountable = process.getuid?.() === 0 && process.platform === "linux";
  it("says that the disk is full, keeps the old object, and goes on when there is space", {
    skip: !mountable && "needs root to mount a small file system",
  }, async () => {
    const folder = await mkdtemp(join(tmpdir(), "full-disk-"));
    await mkdir(join(folder, "disk"));
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", join(folder, "disk")]);
    let served: TestEndpoint | undefined;
    try {
      served = await startTestEndpoint({ folder: join(folder, "disk") });
      const { url } = served;
      const put = (key: string, size: number, query = {}) =>
        signedFetch(url, { method: "PUT", path: `/flyte-data/${key}`, query, body: randomBytes(size) });
      assert.equal((await put("kept", 1000)).status, 200);
      const kept = await served.store.get("s3://flyte-data/kept");
      const answer = await put("kept", 2 << 20);
      assert.equal(answer.status, 413);
      assert.match(await answer.text(), /<Code>InsufficientStorage<\/Code>.*no space left in .*free space/);
      await assert.rejects(served.store.put("s3://flyte-data/x", randomBytes(2 << 20)), StoreFullError);
      const begun = await signedFetch(served.url, {
        method: "POST",
        path: "/flyte-data/parts",
        query: { uploads: "" },
      });
      const uploadId = /<UploadId>(.*)<\/UploadId>/.exec(await begun.text())?.[1] ?? "";
      assert.equal((await put("parts", 2 << 20, { partNumber: "1", uploadId })).status, 413);
      assert.deepEqual(await served.store.get("s3://flyte-data/kept"), kept);
      assert.deepEqual(await temporaryFiles(served.folder), []);
      assert.equal((await put("filler", 900_000)).status, 200);
      assert.equal((await put("rest", 200_000)).status, 413);
      await served.store.delete(["s3://flyte-data/filler"]);
      assert.equal((await put("rest", 200_000)).status, 200);
      await served.store.check();
      assert.equal(served.failures.length, 3, JSON.stringify(served.failures));
    } finally {
      await served?.close();
      execFileSync("umount", [join(folder, "disk")]);
      await rm(folder, { recursive: true });
    }
  });
});
