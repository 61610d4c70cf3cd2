/** Bad requests against the real server: every door refuses with its own code, and the server lives. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readdir } from "node:fs/promises";
import { request } from "node:http";
import { after, afterEach, test } from "node:test";
import { gzipSync } from "node:zlib";
import { Code, ConnectError } from "@connectrpc/connect";
import { startServer } from "../support/server.ts";
import { waitFor } from "../support/wait.ts";
import { actionId, connectWire, domain, project, runId } from "../support/wire.ts";

const server = await startServer({ after });
const wire = connectWire(server.url);
const getRun = "/flyteidl2.workflow.RunService/GetRunDetails";
const evil = ["../../etc/passwd", "..", "a/b", "a\\b", "a\u0000b", "%2e%2e%2fx", " "];

afterEach(async () => {
  assert.equal((await fetch(`${server.url}/readyz`)).status, 200, "the server lives");
});

interface Answer {
  status: number;
  text: string;
}

/** Unlike fetch, sends the path as it is. */
function send(
  method: string,
  path: string,
  headers: Record<string, string>,
  body: Uint8Array | string = "",
): Promise<Answer> {
  const { hostname, port } = new URL(server.url);
  return new Promise((resolve, reject) => {
    const call = request({
      hostname,
      port,
      method,
      path,
      headers: { ...headers, "content-length": Buffer.byteLength(body) },
    });
    call.on("response", async (response) => {
      let text = "";
      for await (const chunk of response) text += String(chunk);
      resolve({ status: response.statusCode ?? 0, text });
    });
    call.on("error", reject);
    call.end(body);
  });
}

async function codeOf(call: Promise<unknown>): Promise<Code | undefined> {
  return call.then(
    () => undefined,
    (reason: unknown) => ConnectError.from(reason).code,
  );
}

test("malformed calls", async () => {
  const proto = { "content-type": "application/proto" };
  const json = { "content-type": "application/json" };
  const cases: [string, Promise<Answer>, number, RegExp][] = [
    ["unknown method", send("POST", "/flyteidl2.workflow.RunService/Nope", json, "{}"), 501, /unimplemented/],
    ["invalid protobuf", send("POST", getRun, proto, Buffer.from([0xff, 0xff, 0xff])), 400, /invalid_argument/],
    ["invalid JSON", send("POST", getRun, json, "{"), 400, /invalid_argument/],
    ["missing field", send("POST", getRun, json, "{}"), 400, /invalid_argument.*run_?id/is],
    ["bad gzip", send("POST", getRun, { ...proto, "content-encoding": "gzip" }, "no gzip"), 400, /invalid_argument/],
    ["wrong content type", send("POST", getRun, { "content-type": "text/plain" }, "x"), 415, /^/],
    [
      "a bomb of zeros",
      send("POST", getRun, { ...proto, "content-encoding": "gzip" }, gzipSync(Buffer.alloc(64 << 20))),
      429,
      /resource_exhausted/,
    ],
  ];
  for (const [what, answer, status, text] of cases) {
    const got = await answer;
    assert.equal(got.status, status, `${what}: ${got.text}`);
    assert.match(got.text, text, what);
  }
});

test("names that lead elsewhere", async () => {
  const contentMd5 = createHash("md5").update("x").digest();
  for (const name of evil) {
    const calls: Record<string, () => Promise<unknown>> = {
      "run to create": () =>
        wire.runs.createRun({
          id: { case: "runId", value: runId(name) },
          task: { case: "taskId", value: { org: "", project, domain, name: "t", version: "v" } },
          inputWrapper: { case: "inputs", value: {} },
        }),
      "project of a run": () =>
        wire.runs.createRun({
          id: { case: "projectId", value: { organization: "", name, domain } },
          task: { case: "taskId", value: { org: "", project, domain, name: "t", version: "v" } },
        }),
      "project of an upload": () =>
        wire.data.createUploadLocation({
          project: name,
          domain,
          filename: "f",
          filenameRoot: "r",
          contentMd5,
        }),
      "file of an upload": () =>
        wire.data.createUploadLocation({ project, domain, filename: name, filenameRoot: "r", contentMd5 }),
      "run to read": () => wire.runs.getActionDetails({ actionId: actionId(name) }),
      "action to read": () => wire.data.getActionData({ actionId: actionId("r", name) }),
    };
    for (const [what, call] of Object.entries(calls)) {
      const code = await codeOf(call());
      const refused = code === Code.InvalidArgument || code === Code.NotFound;
      // "%2e%2e%2fx" and a blank are odd, yet harmless names of files: they are kept as they are.
      if (!(what === "file of an upload" && (name.startsWith("%") || name === " "))) {
        assert.ok(refused, `${what} ${JSON.stringify(name)}: ${code === undefined ? "accepted" : Code[code]}`);
      }
    }
  }
  const before = (await readdir(server.dataDir)).sort();
  for (const path of [
    "/flyte-data/../server.lock",
    "/flyte-data/%2e%2e/object-store-keys.json",
    "/flyte-data//etc/passwd",
  ]) {
    const { status, text } = await send("GET", path, {});
    assert.ok(status >= 400 && status < 500, `${path}: ${status}`);
    assert.doesNotMatch(text, /secretAccessKey|root:/);
    const written = await send("PUT", path, {}, "x");
    assert.ok(written.status >= 400 && written.status < 500, `PUT ${path}: ${written.status}`);
  }
  assert.deepEqual((await readdir(server.dataDir)).sort(), before);
});

test("S3 requests without a signature, and with a wrong one", async () => {
  assert.equal((await send("GET", "/flyte-data/uploads/x", {})).status, 403);
  const now = new Date().toISOString().replace(/[-:]|\.\d+/g, "");
  const forged = {
    authorization:
      `AWS4-HMAC-SHA256 Credential=AKID/${now.slice(0, 8)}/us-east-1/s3/aws4_request, ` +
      `SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=${"0".repeat(64)}`,
    "x-amz-date": now,
    "x-amz-content-sha256": createHash("sha256").update("x").digest("hex"),
  };
  const { status, text } = await send("PUT", "/flyte-data/uploads/x", forged, "x");
  assert.equal(status, 403, text);
  assert.match(text, /<Code>(InvalidAccessKeyId|SignatureDoesNotMatch)<\/Code>/);
});

test("upload URLs that are altered, used again, or too old", async () => {
  const content = Buffer.from("the content");
  const contentMd5 = createHash("md5").update(content).digest();
  const location = await wire.data.createUploadLocation({
    project,
    domain,
    filename: "f.txt",
    filenameRoot: "once",
    contentMd5,
  });
  const put = (url: string, body: Uint8Array = content, headers = location.headers) =>
    fetch(url, { method: "PUT", body, headers });
  const { signedUrl } = location;

  const altered = [
    signedUrl.replace("f.txt", "g.txt"),
    signedUrl.replace(/X-Amz-Expires=\d+/, "X-Amz-Expires=3600"),
    signedUrl.replace(/X-Amz-Signature=.{8}/, "X-Amz-Signature=00000000"),
  ];
  for (const url of altered) {
    assert.notEqual(url, signedUrl);
    assert.equal((await put(url)).status, 403, url);
  }
  assert.equal((await put(signedUrl, Buffer.from("other content"))).status, 400);
  assert.equal((await put(signedUrl)).status, 200);
  // Again with the same content it is a client that repeats itself; other content never replaces it.
  assert.equal((await put(signedUrl)).status, 200);
  assert.equal((await put(signedUrl, Buffer.from("other content"))).status, 400);
  const second = wire.data.createUploadLocation({
    project,
    domain,
    filename: "f.txt",
    filenameRoot: "once",
    contentMd5: createHash("md5").update("other content").digest(),
  });
  assert.equal(await codeOf(second), Code.AlreadyExists);

  const short = await wire.data.createUploadLocation({
    project,
    domain,
    filename: "late.txt",
    filenameRoot: "late",
    contentMd5,
    expiresIn: { seconds: 1n, nanos: 0 },
  });
  await waitFor(() => Date.now() > Number(short.expiresAt?.seconds ?? 0n) * 1000 + 1500, {
    what: "the URL's last second",
  });
  const late = await put(short.signedUrl);
  assert.equal(late.status, 403);
  assert.match(await late.text(), /Request has expired/);
});
