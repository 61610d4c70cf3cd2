/** Serves a file store as S3 on a free port, as the server does for its tasks. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { TestContext } from "node:test";
import { type FileStore, s3Endpoint } from "@flyte-ts/platform/object-store";

const credentials = { accessKeyId: "AKTEST", secretAccessKey: "test-secret" };

export interface ServedObjects {
  /** For the tasks. */
  environment: Record<string, string>;
  /** `METHOD path` of every request. */
  requests: string[];
}

export async function serveObjects(t: TestContext, store: FileStore): Promise<ServedObjects> {
  const endpoint = s3Endpoint({ store, lookup: (id) => (id === credentials.accessKeyId ? credentials : undefined) });
  const requests: string[] = [];
  const server = createServer((request, response) => {
    requests.push(`${request.method} ${request.url}`);
    if (!endpoint.handle(request, response)) response.writeHead(404).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(async () => {
    endpoint.close();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    requests,
    environment: {
      FLYTE_AWS_ENDPOINT: url,
      FLYTE_AWS_ACCESS_KEY_ID: credentials.accessKeyId,
      FLYTE_AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
      AWS_REGION: "us-east-1",
    },
  };
}
