/** A bucket that pods reach: our own S3 endpoint over a folder, which checks signatures as a real one does. */
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openObjectStore } from "@flyte-ts/platform/object-store";
import type { Scope } from "./server.ts";

export interface Bucket {
  url: string;
  endpoint: string;
  accessKeyId: string;
  secretAccessKey: string;
}

const credentials = { accessKeyId: "AKTEST", secretAccessKey: "test-secret/+=" };

export async function bucket(t: Scope, { gateway }: { gateway: string }): Promise<Bucket> {
  const folder = await mkdtemp(join(tmpdir(), "flyte-ts-bucket-"));
  let endpoint = "";
  const opened = await openObjectStore({ folder, publicUrl: () => endpoint, credentials });
  const server = createServer((request, response) => {
    if (!opened.endpoint?.handle(request, response)) response.writeHead(404).end();
  });
  server.listen(0, gateway);
  await once(server, "listening");
  endpoint = `http://${gateway}:${(server.address() as { port: number }).port}`;
  t.after(async () => {
    server.closeAllConnections();
    server.close();
    await opened.close();
    await rm(folder, { recursive: true, force: true });
  });
  return { url: "s3://flyte-data", endpoint, ...credentials };
}
