import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { describe, it } from "node:test";
import { CreateBucketCommand, S3Client } from "@aws-sdk/client-s3";
import { objectStoreContract } from "../contract-suite.ts";
import { ContentMismatchError, ObjectExistsError, StoreUnavailableError } from "../errors.ts";
import { filesBelow, startTestEndpoint, TEST_CREDENTIALS } from "../s3-endpoint/test-endpoint.ts";
import { openS3Store } from "./s3-store.ts";

const VENV = process.env.FLYTE_TS_TEST_VENV ?? join(import.meta.dirname, "../../../.venv");
const MOTO = join(VENV, "bin/moto_server");
// In CI everything must be there, so that a missing server shows as a failure and not as a skip.
const noMoto = !existsSync(MOTO) && process.env.CI === undefined && `${MOTO} is missing: run npm test once`;

for (const root of ["s3://flyte-data", "s3://flyte-data/with/prefix"]) {
  objectStoreContract(
    `s3 against the embedded endpoint, root ${root}`,
    async () => {
      const served = await startTestEndpoint();
      const store = openS3Store({ root, endpoint: served.url, credentials: TEST_CREDENTIALS });
      return {
        store,
        close: async () => {
          await store.close();
          await served.close();
        },
      };
    },
    { signedUrls: true },
  );
}

objectStoreContract(
  "s3 against moto",
  async () => {
    const moto = await startMoto();
    const store = openS3Store({ root: "s3://flyte-data/prefix", endpoint: moto.url, credentials: TEST_CREDENTIALS });
    return {
      store,
      close: async () => {
        await store.close();
        await moto.close();
      },
    };
  },
  // moto checks no signature, so it would take the altered upload.
  { signedUrls: false, lineBreaks: false, skip: noMoto },
);

describe("s3 store without its server", () => {
  it("says which server and what to do", async () => {
    const port = await freePort();
    const store = openS3Store({
      root: "s3://flyte-data",
      endpoint: `http://127.0.0.1:${port}`,
      credentials: TEST_CREDENTIALS,
    });
    const unavailable = (error: unknown) => {
      assert.ok(error instanceof StoreUnavailableError, String(error));
      assert.match(error.message, new RegExp(`127\\.0\\.0\\.1:${port}.*ECONNREFUSED`));
      return true;
    };
    await assert.rejects(store.check(), unavailable);
    await assert.rejects(store.head("s3://flyte-data/x"), unavailable);
    await assert.rejects(store.put("s3://flyte-data/x", Buffer.from("x")), unavailable);
    await store.close();
  });

  it("gives up on a server that never answers", async (t) => {
    const server = createServer(() => {});
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    t.after(() => server.close());
    const { port } = server.address() as AddressInfo;
    const options = { root: "s3://flyte-data", endpoint: `http://127.0.0.1:${port}`, idleTimeoutMs: 50 };
    const store = openS3Store({ ...options, credentials: TEST_CREDENTIALS });
    await assert.rejects(store.head("s3://flyte-data/x"), StoreUnavailableError);
    await assert.rejects(store.check(AbortSignal.abort()), StoreUnavailableError);
    await store.close();
  });

  it("takes a body of unknown length whose parts it has to cut itself, and checks its digest", async (t) => {
    const served = await startTestEndpoint();
    t.after(() => served.close());
    const store = openS3Store({ root: "s3://flyte-data", endpoint: served.url, credentials: TEST_CREDENTIALS });
    const block = Buffer.alloc(1 << 20, 7);
    const body = async function* () {
      for (let i = 0; i < 20; i++) yield block;
    };
    const contentMd5 = createHash("md5")
      .update(Buffer.alloc(20 << 20, 7))
      .digest();
    await store.put("s3://flyte-data/parts", body(), { contentMd5 });
    assert.equal((await served.store.head("s3://flyte-data/parts"))?.size, 20 << 20);
    const wrong = { contentMd5: Buffer.alloc(16) };
    await assert.rejects(store.put("s3://flyte-data/wrong", body(), wrong), ContentMismatchError);
    await assert.rejects(store.put("s3://flyte-data/parts", body(), { ifAbsent: true }), ObjectExistsError);
    assert.equal(await store.head("s3://flyte-data/wrong"), undefined);
    assert.deepEqual(await filesBelow(served.store.layout.uploads), []);
    await store.close();
  });

  it("signs uploads without a bound content for one use", async (t) => {
    const served = await startTestEndpoint();
    t.after(() => served.close());
    const store = openS3Store({ root: "s3://flyte-data", endpoint: served.url, credentials: TEST_CREDENTIALS });
    const { url, headers } = await store.signUpload("s3://flyte-data/once", { expiresInSeconds: 60 });
    const put = (extra: Readonly<Record<string, string>>) => fetch(url, { method: "PUT", body: "x", headers: extra });
    const statuses = [await put({}), await put(headers), await put(headers)].map((answer) => answer.status);
    assert.deepEqual(statuses, [403, 200, 412]);
    await store.close();
  });

  it("says that keys are refused, and that a bucket is missing", async () => {
    const served = await startTestEndpoint();
    const options = { root: "s3://flyte-data", endpoint: served.url };
    const wrong = openS3Store({ ...options, credentials: { ...TEST_CREDENTIALS, secretAccessKey: "wrong" } });
    await assert.rejects(wrong.check(), /refused access \(SignatureDoesNotMatch/);
    const elsewhere = openS3Store({ ...options, root: "s3://absent", credentials: TEST_CREDENTIALS });
    await assert.rejects(elsewhere.check(), /the bucket does not exist at .*create it/);
    await Promise.all([wrong.close(), elsewhere.close(), served.close()]);
  });
});

async function startMoto(): Promise<{ url: string; close(): Promise<void> }> {
  const port = await freePort();
  const child = spawn(MOTO, ["-H", "127.0.0.1", "-p", String(port)], { stdio: ["ignore", "ignore", "pipe"] });
  const url = `http://127.0.0.1:${port}`;
  await untilListening(child);
  const client = new S3Client({
    endpoint: url,
    region: "us-east-1",
    forcePathStyle: true,
    credentials: TEST_CREDENTIALS,
  });
  await client.send(new CreateBucketCommand({ Bucket: "flyte-data" }));
  client.destroy();
  return {
    url,
    close: () =>
      new Promise((resolve) => {
        child.once("exit", () => resolve());
        child.kill("SIGKILL");
      }),
  };
}

/** Resolves when the server has printed where it listens; rejects with its output when it ends instead. */
function untilListening(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let output = "";
    child.stderr?.on("data", (chunk: Buffer) => {
      output += chunk.toString();
      if (output.includes("Running on")) resolve();
    });
    child.once("error", reject);
    child.once("exit", (code) => reject(new Error(`moto_server ended with ${code}: ${output}`)));
  });
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0));
    });
  });
}
