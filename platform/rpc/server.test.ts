import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { type Client, Code, ConnectError, createClient, type Interceptor, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { ActionsService } from "@flyte-ts/contract/flyteidl2/actions/actions_service_pb.ts";
import { ProjectService } from "@flyte-ts/contract/flyteidl2/project/project_service_pb.ts";
import { createLogger, createMetrics } from "../telemetry/index.ts";
import { rpcMetrics } from "./index.ts";
import { enqueueOf, enqueuePath, type TestServer, testServer, until } from "./testing.ts";

async function codeOf(call: Promise<unknown>): Promise<ConnectError> {
  try {
    await call;
  } catch (thrown) {
    return ConnectError.from(thrown);
  }
  assert.fail("the call should have failed");
}

const transports: Record<string, (baseUrl: string) => Transport> = {
  "Connect over HTTP/1.1": (baseUrl) => createConnectTransport({ baseUrl, httpVersion: "1.1" }),
  "Connect JSON over HTTP/1.1": (baseUrl) =>
    createConnectTransport({ baseUrl, httpVersion: "1.1", useBinaryFormat: false }),
  "Connect over h2c": (baseUrl) => createConnectTransport({ baseUrl, httpVersion: "2" }),
  "gRPC over h2c": (baseUrl) => createGrpcTransport({ baseUrl }),
  "gRPC-Web over HTTP/1.1": (baseUrl) => createGrpcWebTransport({ baseUrl, httpVersion: "1.1" }),
};

for (const [name, transport] of Object.entries(transports)) {
  describe(name, () => {
    let server: TestServer;
    let actions: Client<typeof ActionsService>;
    before(async () => {
      server = await testServer();
      actions = createClient(ActionsService, transport(server.url));
    });
    after(() => server.drain(0));

    test("a unary call is answered and carries its request id", async () => {
      const headers = new Map<string, string | null>();
      await actions.enqueue(enqueueOf("ok"), {
        headers: { "x-request-id": "my-id" },
        onHeader: (h) => ["x-request-id", "x-seen-id"].map((key) => headers.set(key, h.get(key))),
      });
      assert.equal(headers.get("x-request-id"), "my-id");
      assert.equal(headers.get("x-seen-id"), "my-id");
    });

    test("an invalid request is invalid_argument and names the field", async () => {
      const error = await codeOf(actions.enqueue({}));
      assert.equal(error.code, Code.InvalidArgument);
      assert.match(error.rawMessage, /action: value is required/);
    });

    test("an AppError keeps its kind, message and slug", async () => {
      const error = await codeOf(actions.enqueue(enqueueOf("gone")));
      assert.equal(error.code, Code.NotFound);
      assert.equal(error.rawMessage, "run r1 does not exist");
      assert.equal(error.metadata.get("x-error-slug"), "run-not-found");
    });

    test("a bug is internal: the id is told, the cause only logged", async () => {
      const error = await codeOf(actions.enqueue(enqueueOf("fail"), { headers: { "x-request-id": "bug-1" } }));
      assert.equal(error.code, Code.Internal);
      assert.match(error.rawMessage, /bug-1/);
      assert.doesNotMatch(error.rawMessage, /secret/);
      const line = server.logs.find((entry) => entry.fields.requestId === "bug-1");
      assert.equal(line?.level, "error");
      assert.match(String(line?.fields.err), /secret detail of a bug/);
    });

    test("a database that is away is unavailable, without its address", async () => {
      const error = await codeOf(actions.enqueue(enqueueOf("db")));
      assert.equal(error.code, Code.Unavailable);
      assert.doesNotMatch(error.rawMessage, /secret/);
    });

    test("text that the database does not take is invalid_argument", async () => {
      const error = await codeOf(actions.enqueue(enqueueOf("nul")));
      assert.equal(error.code, Code.InvalidArgument);
      assert.match(error.rawMessage, /NUL character/);
    });

    test("a deadline reaches the handler", async () => {
      const error = await codeOf(actions.enqueue(enqueueOf("hang"), { timeoutMs: 50 }));
      assert.equal(error.code, Code.DeadlineExceeded);
    });

    test("a method that is not implemented, and a service that is not mounted", async () => {
      assert.equal(
        (await codeOf(actions.abort({ actionId: enqueueOf("x").action.actionId }))).code,
        Code.Unimplemented,
      );
      const projects = createClient(ProjectService, transport(server.url));
      assert.equal((await codeOf(projects.getProject({}))).code, Code.Unimplemented);
    });

    test("a stream delivers, is validated, and its handler learns that the client left", async () => {
      const stop = new AbortController();
      const before = server.waiting.length;
      const filter = { case: "parentActionId" as const, value: enqueueOf("x").action.actionId };
      const seen: unknown[] = [];
      const error = await codeOf(
        (async () => {
          for await (const message of actions.watchForUpdates({ filter }, { signal: stop.signal })) {
            seen.push(message);
            await until(() => server.waiting.length > before);
            stop.abort();
          }
        })(),
      );
      assert.equal(error.code, Code.Canceled);
      assert.equal(seen.length, 1);
      await until(() => server.waiting.at(-1)?.aborted === true);
      const invalid = await codeOf(
        (async () => {
          for await (const _ of actions.watchForUpdates({})) assert.fail();
        })(),
      );
      assert.equal(invalid.code, Code.InvalidArgument);
    });
  });
}

describe("plain HTTP", () => {
  let server: TestServer;
  let ready: () => Promise<void> = async () => {};
  before(async () => {
    server = await testServer({
      health: { ready: () => ready() },
      allowedOrigins: ["https://console.example.org"],
      isStorePath: (path) => path.startsWith("/bucket/"),
      http: [
        async (req, res) => {
          if (req.url?.startsWith("/broken")) throw new Error("disk on fire");
          if (req.url !== "/metrics") return false;
          res.end("metrics here");
          return true;
        },
        (req, res) => {
          if (req.url !== "/second") return false;
          res.end("second");
          return true;
        },
      ],
    });
  });
  after(() => server.drain(0));

  test("healthz and readyz", async () => {
    assert.equal((await fetch(`${server.url}/healthz`)).status, 200);
    assert.equal((await fetch(`${server.url}/readyz`)).status, 200);
    ready = async () => {
      throw new Error("database: connection refused");
    };
    const refused = await fetch(`${server.url}/readyz`);
    assert.equal(refused.status, 503);
    assert.deepEqual(await refused.json(), { status: "unavailable", cause: "database: connection refused" });
    assert.equal((await fetch(`${server.url}/healthz`)).status, 200);
  });

  test("readyz answers although a part hangs", async () => {
    ready = () => new Promise(() => {});
    const refused = await fetch(`${server.url}/readyz`);
    assert.equal(refused.status, 503);
    assert.match(await refused.text(), /no answer within/);
  });

  test("handlers are asked in order, then 404", async () => {
    assert.equal(await (await fetch(`${server.url}/metrics`)).text(), "metrics here");
    assert.equal(await (await fetch(`${server.url}/second`)).text(), "second");
    const unknown = await fetch(`${server.url}/nothing`);
    assert.equal(unknown.status, 404);
    assert.ok(unknown.headers.get("x-request-id"));
  });

  test("a handler that throws is a 500 with the id, and is logged", async () => {
    const answer = await fetch(`${server.url}/broken`);
    assert.equal(answer.status, 500);
    assert.doesNotMatch(await answer.text(), /fire/);
    assert.ok(server.logs.some((line) => line.message === "http handler failed"));
  });

  test("a path of the store is never taken for an RPC", async () => {
    const headers = { "content-type": "application/json" };
    const answer = await fetch(`${server.url}/bucket/key`, { method: "POST", headers, body: "{}" });
    assert.equal(answer.status, 404);
  });

  test("CORS: own, loopback and listed origins are echoed, others refused", async () => {
    const preflight = (origin: string) =>
      fetch(server.url + enqueuePath, {
        method: "OPTIONS",
        headers: { origin, "access-control-request-method": "POST" },
      });
    for (const origin of [server.url, "http://localhost:5173", "https://console.example.org"]) {
      const answer = await preflight(origin);
      assert.equal(answer.status, 204);
      assert.equal(answer.headers.get("access-control-allow-origin"), origin);
      assert.equal(answer.headers.get("access-control-allow-credentials"), "true");
      assert.equal(answer.headers.get("access-control-max-age"), "86400");
      assert.match(answer.headers.get("access-control-allow-headers") ?? "", /Connect-Protocol-Version/);
    }
    for (const origin of ["https://evil.example", "null", "http://localhost.evil.example"]) {
      const answer = await preflight(origin);
      assert.equal(answer.status, 403);
      assert.equal(answer.headers.get("access-control-allow-origin"), null);
    }
    const simple = await fetch(`${server.url}/healthz`, { headers: { origin: "http://127.0.0.1:1" } });
    assert.equal(simple.headers.get("access-control-allow-origin"), "http://127.0.0.1:1");
  });

  test("an id that cannot be echoed is replaced", async () => {
    for (const id of ["ü".repeat(3), "x".repeat(129), "a b"]) {
      const answer = await fetch(`${server.url}/healthz`, { headers: { "x-request-id": encodeURI(id).slice(0, 200) } });
      assert.match(answer.headers.get("x-request-id") ?? "", /^[\x21-\x7e]{1,128}$/);
    }
    const long = await fetch(`${server.url}/healthz`, { headers: { "x-request-id": "x".repeat(129) } });
    assert.notEqual(long.headers.get("x-request-id"), "x".repeat(129));
  });
});

test("interceptors and metrics see every protocol the same", async (t) => {
  const calls: string[] = [];
  const seen: string[] = [];
  const interceptor: Interceptor = (next) => async (req) => {
    seen.push(`${req.method.name} ${req.header.get("x-who")}`);
    const res = await next({ ...req });
    res.header.set("x-intercepted", "yes");
    return res;
  };
  const server = await testServer({
    interceptors: [interceptor],
    metrics: { handled: (method, code) => calls.push(`${method} ${code}`) },
  });
  t.after(() => server.drain(0));
  for (const transport of Object.values(transports)) {
    const actions = createClient(ActionsService, transport(server.url));
    let header: string | null = null;
    await actions.enqueue(enqueueOf("ok"), {
      headers: { "x-who": "me" },
      onHeader: (h) => {
        header = h.get("x-intercepted");
      },
    });
    assert.equal(header, "yes");
    await codeOf(actions.enqueue(enqueueOf("gone")));
  }
  const each = Object.keys(transports).length;
  assert.equal(seen.filter((line) => line === "Enqueue me").length, each);
  assert.equal(calls.filter((line) => line.endsWith("/Enqueue ok")).length, each);
  assert.equal(calls.filter((line) => line.endsWith("/Enqueue not_found")).length, each);
});

test("large answers are compressed for those who can read it, in each protocol", async (t) => {
  const projects = Array.from({ length: 2000 }, (_, i) => ({ id: `project-${i}`, name: "the same name again" }));
  const server = await testServer({
    routes: (router) => router.service(ProjectService, { listProjects: async () => ({ projects: { projects } }) }),
  });
  t.after(() => server.drain(0));
  const call = (acceptEncoding: string) =>
    fetch(`${server.url}/flyteidl2.project.ProjectService/ListProjects`, {
      method: "POST",
      body: new Uint8Array(0),
      headers: { "content-type": "application/proto", "accept-encoding": acceptEncoding },
    });
  const [packed, plain] = [await call("gzip,identity"), await call("identity")];
  assert.equal(packed.headers.get("content-encoding"), "gzip");
  assert.equal(plain.headers.get("content-encoding"), null);
  const bytes = Buffer.from(await plain.arrayBuffer());
  assert.ok(Number(packed.headers.get("content-length")) < bytes.length / 5);
  assert.ok(bytes.equals(Buffer.from(await packed.arrayBuffer())));
  for (const transport of Object.values(transports)) {
    const list = await createClient(ProjectService, transport(server.url)).listProjects({});
    assert.equal(list.projects?.projects.length, 2000);
  }
});

test("calls are counted in Prometheus' words", async (t) => {
  const metrics = createMetrics({ processMetrics: false });
  const server = await testServer({ metrics: rpcMetrics(metrics), http: [metrics.handler] });
  t.after(() => server.drain(0));
  const actions = createClient(ActionsService, createConnectTransport({ baseUrl: server.url, httpVersion: "1.1" }));
  await actions.enqueue(enqueueOf("ok"));
  await codeOf(actions.enqueue(enqueueOf("gone")));
  const text = await (await fetch(`${server.url}/metrics`)).text();
  const method = 'method="flyteidl2.actions.ActionsService/Enqueue"';
  assert.ok(text.includes(`flyte_rpc_calls_total{${method},code="ok"} 1`), text);
  assert.ok(text.includes(`flyte_rpc_calls_total{${method},code="not_found"} 1`), text);
  assert.ok(text.includes(`flyte_rpc_seconds_count{${method}} 2`), text);
});

test("a real logger writes what the door says, and says it once", async (t) => {
  const lines: string[] = [];
  const log = createLogger({ destination: { write: (line) => lines.push(line) } });
  const server = await testServer({ log });
  t.after(() => server.drain(0));
  const actions = createClient(ActionsService, createConnectTransport({ baseUrl: server.url, httpVersion: "1.1" }));
  await codeOf(actions.enqueue(enqueueOf("fail"), { headers: { "x-request-id": "bug-2" } }));
  await actions.enqueue(enqueueOf("ok"));
  assert.equal(lines.length, 1);
  const line = JSON.parse(lines[0] ?? "") as { requestId: string; method: string; err: { message: string } };
  assert.equal(line.requestId, "bug-2");
  assert.equal(line.method, "flyteidl2.actions.ActionsService/Enqueue");
  assert.equal(line.err.message, "secret detail of a bug");
});

test("a port that is taken is an error the caller can catch", async (t) => {
  const first = await testServer();
  t.after(() => first.drain(0));
  await assert.rejects(testServer({ port: first.port }), { code: "EADDRINUSE" });
});
