import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { it } from "node:test";
import { openObjectStore } from "./open.ts";

it("opens a folder with its endpoint, and an S3 by URL that reads the same objects", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "object-store-"));
  t.after(() => rm(folder, { recursive: true }));
  const credentials = { accessKeyId: "AK", secretAccessKey: "secret" };
  let publicUrl = "";
  const embedded = await openObjectStore({ folder, publicUrl: () => publicUrl, credentials });
  t.after(() => embedded.close());
  const { endpoint } = embedded;
  assert.ok(endpoint);
  const server = createServer((req, res) => endpoint.handle(req, res) || res.writeHead(404).end());
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  t.after(() => server.closeAllConnections());
  publicUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

  assert.equal(embedded.store.root, "s3://flyte-data");
  const { url } = await embedded.store.signUpload("s3://flyte-data/x", { expiresInSeconds: 60 });
  assert.equal((await fetch(url, { method: "PUT", body: "hello" })).status, 200);

  const remote = await openObjectStore({ url: "s3://flyte-data", endpoint: publicUrl, credentials });
  t.after(() => remote.close());
  assert.equal(remote.endpoint, undefined);
  assert.equal(Buffer.from(await remote.store.get("s3://flyte-data/x")).toString(), "hello");
});
