import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { describe, it } from "node:test";
import { CreateBucketCommand, S3Client } from "@aws-sdk/client-s3";
import { objectStoreContract } from "../contract-suite.ts";
import { StoreUnavailableError } from "../errors.ts";
import { startTestEndpoint, TEST_CREDENTIALS } from "../s3-endpoint/test-endpoint.ts";
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
