/**
 * What arrives is not what it should be. Everything here runs against the short path (`application/proto`) and
 * connect's own (`application/json`, streams, gRPC) alike, and the server must answer the next call after each.
 */
import assert from "node:assert/strict";
import { connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { after, afterEach, before, describe, test } from "node:test";
import { gunzipSync, gzipSync } from "node:zlib";
import { create, toBinary, toJsonString } from "@bufbuild/protobuf";
import { EnqueueRequestSchema } from "@flyte-ts/contract/flyteidl2/actions/actions_service_pb.ts";
import { enqueueOf, enqueuePath, raw, type TestServer, testServer, until, watchPath } from "./testing.ts";

const message = create(EnqueueRequestSchema, enqueueOf("ok"));
const unary = {
  "application/proto": toBinary(EnqueueRequestSchema, message),
  "application/json": toJsonString(EnqueueRequestSchema, message),
};
const limit = 100_000;

let server: TestServer;
before(async () => {
  server = await testServer({ limits: { requestBytes: limit, headersTimeoutMs: 500 } });
});
after(() => server.drain(0));
afterEach(async () => {
  const answer = await post(enqueuePath, unary["application/proto"], { "content-type": "application/proto" });
  assert.equal(answer.status, 200, "the server must go on");
});

function post(path: string, body: Uint8Array | string, headers: Record<string, string>) {
  return fetch(server.url + path, { method: "POST", body: body as NonNullable<RequestInit["body"]>, headers });
}

async function connectCode(answer: Response): Promise<string> {
  assert.equal(answer.headers.get("content-type"), "application/json");
  return ((await answer.json()) as { code: string }).code;
}

for (const [type, body] of Object.entries(unary)) {
  describe(`unary ${type}`, () => {
    const gzipped = { "content-type": type, "content-encoding": "gzip" };

    test("gzip is understood", async () => {
      assert.equal((await post(enqueuePath, gzipSync(body), gzipped)).status, 200);
    });

    test("bad, cut and padded gzip", async () => {
      const good = gzipSync(body);
      const flipped = Buffer.from(good);
      flipped[good.length - 5] = (flipped[good.length - 5] ?? 0) ^ 0xff;
      for (const bytes of [
        Buffer.from("not gzip at all"),
        good.subarray(0, good.length - 9),
        good.subarray(0, 5),
        flipped,
      ]) {
        const answer = await post(enqueuePath, bytes, gzipped);
        assert.equal(answer.status, 400);
        assert.equal(await connectCode(answer), "invalid_argument");
      }
    });

    test("an encoding we do not have", async () => {
      const answer = await post(enqueuePath, body, { "content-type": type, "content-encoding": "zstd" });
      assert.equal(answer.status, 501);
      assert.equal(await connectCode(answer), "unimplemented");
    });

    test("a body over the limit, declared, chunked and after decompression", async () => {
      const declared = await raw(
        server.port,
        `POST ${enqueuePath} HTTP/1.1\r\nhost: x\r\ncontent-type: ${type}\r\ncontent-length: ${limit + 1}\r\n\r\n`,
      );
      assert.equal(declared.status, 429);
      assert.match(declared.body, /"resource_exhausted"/);
      const chunk = "x".repeat(limit + 1);
      const chunked = await raw(
        server.port,
        `POST ${enqueuePath} HTTP/1.1\r\nhost: x\r\ncontent-type: ${type}\r\ntransfer-encoding: chunked\r\n\r\n${chunk.length.toString(16)}\r\n${chunk}\r\n`,
      );
      assert.equal(chunked.status, 429);
      assert.match(chunked.body, /"resource_exhausted"/);
      const bomb = await post(enqueuePath, gzipSync(Buffer.alloc(limit * 20)), gzipped);
      assert.equal(bomb.status, 429);
      assert.equal(await connectCode(bomb), "resource_exhausted");
    });

    test("bytes that are not the message", async () => {
      for (const bytes of [
        Buffer.from([0x0a, 0xff, 0xff, 0x01]),
        Buffer.from([0xff]),
        Buffer.from("{"),
        Buffer.from([0x0b, 0x0b]),
      ]) {
        const answer = await post(enqueuePath, bytes, { "content-type": type });
        assert.equal(answer.status, 400, bytes.toString("hex"));
        assert.equal(await connectCode(answer), "invalid_argument");
      }
    });

    test("missing required fields", async () => {
      const answer = await post(enqueuePath, type === "application/json" ? "{}" : "", { "content-type": type });
      assert.equal(answer.status, 400);
      const { code, message } = (await answer.json()) as { code: string; message: string };
      assert.equal(code, "invalid_argument");
      assert.match(message, /action/);
    });

    test("a timeout that is no number", async () => {
      const answer = await post(enqueuePath, body, { "content-type": type, "connect-timeout-ms": "soon" });
      assert.equal(await connectCode(answer), "invalid_argument");
    });

    test("a method and a service that do not exist", async () => {
      for (const path of ["/flyteidl2.actions.ActionsService/Nope", "/a.b.C/D"]) {
        const answer = await post(path, body, { "content-type": type });
        assert.equal(answer.status, 501);
        assert.equal(await connectCode(answer), "unimplemented");
      }
    });

    test("a client that leaves in the middle of its body", async () => {
      const socket = connect(server.port, "127.0.0.1");
      socket.write(
        `POST ${enqueuePath} HTTP/1.1\r\nhost: x\r\ncontent-type: ${type}\r\ncontent-length: 1000\r\n\r\nabc`,
      );
      await new Promise<void>((resolve) => socket.once("connect", resolve));
      socket.destroy();
      assert.equal(server.logs.filter((line) => line.level === "error").length, 0);
    });

    test("a client that closes its half and waits still gets its answer", async () => {
      const bytes = Buffer.from(body);
      const answer = await new Promise<string>((resolve, reject) => {
        const socket = connect({ port: server.port, host: "127.0.0.1", allowHalfOpen: true });
        let text = "";
        socket.on("data", (data) => {
          text += data;
        });
        socket.on("end", () => {
          socket.destroy();
          resolve(text);
        });
        socket.on("error", reject);
        const head = `POST ${enqueuePath} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: ${type}\r\ncontent-length: ${bytes.length}\r\n\r\n`;
        socket.end(Buffer.concat([Buffer.from(head), bytes]));
      });
      assert.match(answer, /^HTTP\/1.1 200/);
    });
  });
}

describe("envelopes", () => {
  const envelope = (flags: number, data: Uint8Array, length = data.byteLength) => {
    const head = Buffer.alloc(5);
    head[0] = flags;
    head.writeUInt32BE(length, 1);
    return Buffer.concat([head, data]);
  };
  const stream = { "content-type": "application/connect+proto" };
  /** The error in the end-stream envelope. */
  const endOf = async (answer: Response): Promise<{ code?: string; message?: string }> => {
    assert.equal(answer.status, 200);
    const bytes = Buffer.from(await answer.arrayBuffer());
    let at = 0;
    for (;;) {
      const length = bytes.readUInt32BE(at + 1);
      if (((bytes[at] ?? 0) & 2) !== 0) {
        const data = bytes.subarray(at + 5, at + 5 + length);
        return JSON.parse(((bytes[at] ?? 0) & 1 ? gunzipSync(data) : data).toString()).error ?? {};
      }
      at += 5 + length;
    }
  };

  test("cut, empty, oversize and unreadable", async () => {
    const cases: [string, Uint8Array, string, Record<string, string>?][] = [
      ["cut in the head", Buffer.from([0, 0]), "invalid_argument"],
      ["cut in the data", envelope(0, Buffer.from("abc"), 10), "invalid_argument"],
      ["no message", Buffer.alloc(0), "unimplemented"],
      ["oversize", envelope(0, Buffer.alloc(10), limit + 1), "resource_exhausted"],
      ["not protobuf", envelope(0, Buffer.from([0x0a, 0xff, 0x01])), "invalid_argument"],
      ["invalid message", envelope(0, Buffer.alloc(0)), "invalid_argument"],
      ["compressed without an encoding", envelope(1, gzipSync("x")), "internal"],
      ["bad gzip", envelope(1, Buffer.from("no gzip")), "invalid_argument", { "connect-content-encoding": "gzip" }],
      [
        "bomb",
        envelope(1, gzipSync(Buffer.alloc(limit * 20))),
        "resource_exhausted",
        { "connect-content-encoding": "gzip" },
      ],
      ["unknown encoding", envelope(0, Buffer.alloc(0)), "unimplemented", { "connect-content-encoding": "zstd" }],
    ];
    for (const [name, body, code, headers] of cases) {
      const error = await endOf(await post(watchPath, body, { ...stream, ...headers }));
      assert.equal(error.code, code, `${name}: ${error.message}`);
    }
  });

  test("an unknown method ends the stream with unimplemented", async () => {
    const answer = await post("/a.b.C/Watch", envelope(0, Buffer.alloc(0)), stream);
    assert.equal(answer.headers.get("content-type"), "application/connect+proto");
    assert.equal((await endOf(answer)).code, "unimplemented");
  });

  test("gRPC and gRPC-Web: an unknown method is status 12, a cut message an error status", async () => {
    for (const type of ["application/grpc", "application/grpc+proto", "application/grpc-web+proto"]) {
      const answer = await post("/a.b.C/D", envelope(0, Buffer.alloc(0)), { "content-type": type });
      assert.equal(answer.status, 200);
      assert.equal(answer.headers.get("grpc-status"), "12");
      assert.equal(answer.headers.get("content-type"), type);
    }
    const cut = await post(enqueuePath, envelope(0, Buffer.from("abc"), 10), {
      "content-type": "application/grpc-web+proto",
    });
    assert.match(await cut.text(), /grpc-status: ?(3|13)/);
  });
});

describe("HTTP", () => {
  test("a content type, an HTTP method and a path we do not know", async () => {
    assert.equal((await post(enqueuePath, "x", { "content-type": "text/plain" })).status, 415);
    assert.equal((await fetch(server.url + enqueuePath)).status, 405);
    assert.equal((await post("/a/b", "x", { "content-type": "text/plain" })).status, 404);
  });

  test("what is no HTTP at all", async () => {
    for (const bytes of [
      "\x16\x03\x01\x02\x00\x01\x00",
      "hello\r\n\r\n",
      "PRI * HTTP/9.9\r\n\r\n",
      "GET / HTTP/1.1\r\nno colon\r\n\r\n",
    ]) {
      const answer = await raw(server.port, bytes, true);
      assert.equal(answer.status, 400, JSON.stringify(bytes));
    }
  });

  test("an HTTP/2 preface followed by garbage", async () => {
    await raw(server.port, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nthis is not a frame at all, is it?", true);
  });

  test("a path that is no URL", async () => {
    for (const path of ["//", "/%zz", "*", "http://elsewhere/x", "/healthz?a=%"]) {
      const answer = await raw(server.port, `GET ${path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`, true);
      assert.ok([200, 404].includes(answer.status), `${path}: ${answer.status}`);
    }
  });

  test("requests without a usable host", async () => {
    const body = Buffer.from(unary["application/json"]);
    for (const host of ["", "host: \r\n", "host: [\r\n"]) {
      const head = `POST ${enqueuePath} HTTP/1.0\r\n${host}content-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n`;
      const answer = await raw(server.port, Buffer.concat([Buffer.from(head), body]), true);
      assert.ok(answer.status >= 400 || answer.status === 200, `${host}: ${answer.status}`);
    }
  });

  test("an HTTP/2 request without an authority", async () => {
    const session = connectHttp2(server.url);
    const stream = session.request(
      { ":method": "POST", ":path": watchPath, ":authority": "[", "content-type": "application/connect+proto" },
      { endStream: true },
    );
    const status = await new Promise((resolve) => stream.once("response", (headers) => resolve(headers[":status"])));
    assert.equal(status, 400);
    session.destroy();
  });

  test("headers that are too long", async () => {
    const answer = await raw(server.port, `GET / HTTP/1.1\r\nhost: x\r\nx-long: ${"y".repeat(40_000)}\r\n\r\n`, true);
    assert.equal(answer.status, 431);
  });

  test("headers that never end are cut off, in silence, after a byte, and in HTTP/1.1", async () => {
    for (const bytes of ["", "P", "GET / HTTP/1.1\r\nhost: x\r\n"]) {
      const answer = await raw(server.port, bytes, true);
      assert.ok([0, 408].includes(answer.status));
    }
  });

  test("a preface in pieces is still HTTP/2", async () => {
    const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const settings = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);
    const first = await new Promise<Buffer>((resolve, reject) => {
      const socket = connect({ port: server.port, host: "127.0.0.1", noDelay: true });
      socket.on("error", reject);
      socket.on("data", (data) => {
        socket.destroy();
        resolve(data);
      });
      socket.write(preface.slice(0, 2), () =>
        setImmediate(() =>
          socket.write(preface.slice(2, 20), () =>
            setImmediate(() => socket.write(Buffer.concat([Buffer.from(preface.slice(20)), settings]))),
          ),
        ),
      );
    });
    assert.equal(first[3], 4, "the server answers with its SETTINGS frame");
  });

  test("pipelined requests are answered in order", async () => {
    const one = (id: string, end = "") => `GET /healthz HTTP/1.1\r\nhost: x\r\nx-request-id: ${id}\r\n${end}\r\n`;
    const answer = await raw(server.port, one("one") + one("two") + one("three", "connection: close\r\n"), true);
    const ids = [
      ...`x-request-id: ${answer.headers["x-request-id"]}\r\n${answer.body}`.matchAll(/x-request-id: (\w+)/g),
    ];
    assert.deepEqual(
      ids.map((match) => match[1]),
      ["one", "two", "three"],
    );
  });

  test("a client that goes away mid-stream is noticed and is nobody's error", async () => {
    const before = server.waiting.length;
    const filter = { parentActionId: { name: "a0", run: { org: "", project: "p", domain: "d", name: "r1" } } };
    const data = Buffer.from(JSON.stringify(filter));
    const head = Buffer.alloc(5);
    head.writeUInt32BE(data.length, 1);
    const socket = connect(server.port, "127.0.0.1");
    const start = `POST ${watchPath} HTTP/1.1\r\nhost: x\r\ncontent-type: application/connect+json\r\ncontent-length: ${5 + data.length}\r\n\r\n`;
    socket.write(Buffer.concat([Buffer.from(start), head, data]));
    await until(() => server.waiting.length > before);
    socket.resetAndDestroy();
    await until(() => server.waiting.at(-1)?.aborted === true);
    assert.deepEqual(
      server.logs.filter((line) => line.level === "error"),
      [],
    );
  });

  for (const type of ["application/proto", "application/json"]) {
    test(`a client that goes away before its answer: nobody's error (${type})`, async (t) => {
      const { promise: release, resolve: letGo } = Promise.withResolvers<void>();
      const outcomes: string[] = [];
      const own = await testServer({ metrics: { handled: (_method, code) => outcomes.push(code) } }, release);
      t.after(() => own.drain(0));
      for (const behaviour of ["slow", "hang"]) {
        const request = create(EnqueueRequestSchema, enqueueOf(behaviour));
        const body =
          type === "application/json"
            ? Buffer.from(toJsonString(EnqueueRequestSchema, request))
            : toBinary(EnqueueRequestSchema, request);
        const socket = connect(own.port, "127.0.0.1");
        const head = `POST ${enqueuePath} HTTP/1.1\r\nhost: x\r\ncontent-type: ${type}\r\ncontent-length: ${body.byteLength}\r\n\r\n`;
        socket.write(Buffer.concat([Buffer.from(head), body]));
        const before = own.waiting.length;
        await until(() => own.waiting.length > before);
        socket.resetAndDestroy();
        await until(() => own.waiting.at(-1)?.aborted === true);
      }
      letGo();
      await until(() => outcomes.length === 2);
      assert.deepEqual(outcomes.sort(), ["canceled", "ok"]);
      assert.equal((await fetch(`${own.url}/healthz`)).status, 200);
      assert.deepEqual(
        own.logs.filter((line) => line.level === "error"),
        [],
      );
    });
  }

  test("a handler may write to a client that has gone", async (t) => {
    const { promise: gone, resolve: leave } = Promise.withResolvers<void>();
    let wrote = false;
    const own = await testServer({
      http: [
        async (_req, res) => {
          res.write("first");
          await gone;
          for (let i = 0; i < 3; i++) res.write("later");
          res.end("last");
          wrote = true;
          return true;
        },
      ],
    });
    t.after(() => own.drain(0));
    const socket = connect(own.port, "127.0.0.1");
    socket.write("GET /file HTTP/1.1\r\nhost: x\r\n\r\n");
    await new Promise((resolve) => socket.once("data", resolve));
    const closed = new Promise((resolve) => socket.once("close", resolve));
    socket.resetAndDestroy();
    await closed;
    leave();
    await until(() => wrote);
    assert.equal((await fetch(`${own.url}/healthz`)).status, 200);
  });
});
