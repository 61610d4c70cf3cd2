/** For tests: a file store in a temporary folder, served by the embedded endpoint on a real port. */
import { createHash } from "node:crypto";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { createServer, type IncomingHttpHeaders, request } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { type FileStore, openFileStore } from "../file/index.ts";
import { type S3Endpoint, s3Endpoint } from "./s3-endpoint.ts";
import { canonicalQuery, deriveSigningKey, scopeText, signature, toAmzDate } from "./sigv4.ts";
import { urlSigner } from "./url-signer.ts";

export const TEST_CREDENTIALS = { accessKeyId: "AKTEST", secretAccessKey: "test-secret/+=" };

export interface TestEndpoint {
  readonly url: string;
  readonly store: FileStore;
  readonly endpoint: S3Endpoint;
  readonly folder: string;
  /** What the endpoint reported to its log. */
  readonly failures: unknown[];
  /** Moves the endpoint's and the signer's clock. */
  advance(ms: number): void;
  close(): Promise<void>;
}

export async function startTestEndpoint(options: { folder?: string } = {}): Promise<TestEndpoint> {
  const folder = options.folder ?? (await mkdtemp(join(tmpdir(), "s3-endpoint-")));
  let offset = 0;
  let url = "";
  const now = () => new Date(Date.now() + offset);
  const failures: unknown[] = [];
  const signer = urlSigner({ baseUrl: () => url, credentials: TEST_CREDENTIALS, now });
  const store = await openFileStore({ folder, root: "s3://flyte-data", signer });
  const endpoint = s3Endpoint({
    store,
    now,
    lookup: (id) => (id === TEST_CREDENTIALS.accessKeyId ? TEST_CREDENTIALS : undefined),
    onError: (failure) => failures.push(failure),
  });
  const server = createServer((req, res) => {
    if (!endpoint.handle(req, res)) res.writeHead(418).end("not for S3");
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url,
    store,
    endpoint,
    folder,
    failures,
    advance(ms) {
      offset += ms;
    },
    async close() {
      endpoint.close();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      await store.close();
      if (options.folder === undefined) await rm(folder, { recursive: true });
    },
  };
}

export interface SignedFetch {
  readonly method?: string;
  /** Raw, as it goes on the wire. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
  /** Overrides for forging. */
  readonly secret?: string;
  readonly accessKeyId?: string;
  readonly payloadHash?: string;
  readonly date?: Date;
  readonly region?: string;
}

/** A header-signed request, made by hand so that tests can forge any part of it. */
export function signRequest(base: string, signed: SignedFetch): { url: string; init: RequestInit } {
  const { method = "GET", path, query = {}, body, region = "eu-test-1", date = new Date() } = signed;
  const amzDate = toAmzDate(date);
  const payloadHash =
    signed.payloadHash ??
    createHash("sha256")
      .update(body ?? "")
      .digest("hex");
  const scope = {
    accessKeyId: signed.accessKeyId ?? TEST_CREDENTIALS.accessKeyId,
    day: amzDate.slice(0, 8),
    region,
    service: "s3",
  };
  const headers = Object.entries({
    ...signed.headers,
    host: new URL(base).host,
    "x-amz-content-sha256": payloadHash,
    "x-amz-date": amzDate,
  }).sort(([a], [b]) => (a < b ? -1 : 1));
  const hex = signature(
    { method, path, query: Object.entries(query), headers, payloadHash },
    scope,
    amzDate,
    deriveSigningKey(signed.secret ?? TEST_CREDENTIALS.secretAccessKey, scope),
  );
  const names = headers.map(([name]) => name).join(";");
  const credential = `${scope.accessKeyId}/${scopeText(scope)}`;
  const authorization = `AWS4-HMAC-SHA256 Credential=${credential}, SignedHeaders=${names}, Signature=${hex}`;
  const search = canonicalQuery(Object.entries(query));
  return {
    url: `${base}${path}${search === "" ? "" : `?${search}`}`,
    init: {
      method,
      headers: { ...Object.fromEntries(headers), authorization },
      ...(body !== undefined && { body: body as NonNullable<RequestInit["body"]> }),
    },
  };
}

/** Sends a signed request. */
export async function signedFetch(base: string, signed: SignedFetch): Promise<Response> {
  const { url, init } = signRequest(base, signed);
  return fetch(url, init);
}

/** Sends a request exactly as given; `fetch` would tidy up its path. */
export function rawRequest(
  base: string,
  target: string,
  options: { method?: string; headers?: Readonly<Record<string, string>>; body?: string } = {},
): Promise<{ status: number; headers: IncomingHttpHeaders; text: string }> {
  const { hostname, port } = new URL(base);
  return new Promise((resolve, reject) => {
    const req = request({ hostname, port, path: target, method: options.method ?? "GET", headers: options.headers });
    req.once("error", reject);
    req.once("response", (res) => {
      const chunks: Buffer[] = [];
      res.on("data", (chunk: Buffer) => chunks.push(chunk));
      res.once("error", reject);
      res.once("end", () => {
        resolve({ status: res.statusCode ?? 0, headers: res.headers, text: Buffer.concat(chunks).toString("utf8") });
      });
    });
    req.end(options.body);
  });
}

/** A header-signed request, sent exactly as signed. */
export function signedRaw(base: string, signed: SignedFetch) {
  const { url, init } = signRequest(base, signed);
  const body = signed.body === undefined ? {} : { body: String(signed.body) };
  return rawRequest(base, url.slice(base.length), {
    method: init.method ?? "GET",
    headers: init.headers as Record<string, string>,
    ...body,
  });
}

/** Every file below a folder, to see that nothing was left behind. */
export async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries.filter((entry) => !entry.isDirectory()).map((entry) => join(entry.parentPath, entry.name));
}

/** Waits until a condition holds. */
export async function until(condition: () => Promise<boolean> | boolean): Promise<void> {
  while (!(await condition())) await setImmediate();
}
