import assert from "node:assert/strict";
import { connect as connectHttp2 } from "node:http2";
import { connect } from "node:net";
import { test } from "node:test";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { ActionsService } from "@flyte-ts/contract/flyteidl2/actions/actions_service_pb.ts";
import { enqueueOf, testServer, until } from "./testing.ts";

const watch = { filter: { case: "parentActionId" as const, value: enqueueOf("x").action.actionId } };

for (const version of ["1.1", "2"] as const) {
  test(`a call in flight is answered, then the server is gone (HTTP/${version})`, async () => {
    const { promise: release, resolve: letGo } = Promise.withResolvers<void>();
    const server = await testServer({}, release);
    const actions = createClient(ActionsService, createConnectTransport({ baseUrl: server.url, httpVersion: version }));
    const call = actions.enqueue(enqueueOf("slow"));
    await until(() => server.waiting.length === 1);
    const drained = server.drain(60_000);
    letGo();
    await call;
    await drained;
    await assert.rejects(fetch(`${server.url}/healthz`));
  });
}

test("open streams end with UNAVAILABLE, although their handlers wait", async () => {
  const server = await testServer();
  const streams: Promise<unknown>[] = [];
  for (const transport of [
    createConnectTransport({ baseUrl: server.url, httpVersion: "1.1" }),
    createGrpcTransport({ baseUrl: server.url }),
  ]) {
    const stream = createClient(ActionsService, transport).watchForUpdates(watch)[Symbol.asyncIterator]();
    await stream.next();
    streams.push(assert.rejects(stream.next(), (error) => ConnectError.from(error).code === Code.Unavailable));
  }
  await until(() => server.waiting.length === 2);
  await server.drain(60_000);
  await Promise.all(streams);
  assert.ok(server.waiting.every((signal) => signal.aborted));
});
test("a call that does not end is told so after the grace, and the drain returns", async () => {
  const server = await testServer();
  const actions = createClient(ActionsService, createConnectTransport({ baseUrl: server.url, httpVersion: "1.1" }));
  const call = actions.enqueue(enqueueOf("hang"));
  const outcome = assert.rejects(call, (error) => ConnectError.from(error).code === Code.Unavailable);
  await until(() => server.waiting.length === 1);
  await server.drain(100);
  await outcome;
});

test("a kept connection is told to close, HTTP/2 by GOAWAY", async () => {
  const { promise: release, resolve: letGo } = Promise.withResolvers<void>();
  const server = await testServer({}, release);
  const socket = connect(server.port, "127.0.0.1");
  let text = "";
  socket.on("data", (data) => {
    text += data;
  });
  const request = "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
  socket.write(request);
  await until(() => text.includes("ok"));
  assert.doesNotMatch(text, /connection: close/i);
  const session = connectHttp2(server.url);
  const away = new Promise<void>((resolve) => session.once("goaway", () => resolve()));
  await new Promise<void>((resolve) => session.once("remoteSettings", () => resolve()));

  const closed = new Promise<void>((resolve) => socket.once("close", () => resolve()));
  const actions = createClient(ActionsService, createConnectTransport({ baseUrl: server.url, httpVersion: "1.1" }));
  const call = actions.enqueue(enqueueOf("slow"));
  await until(() => server.waiting.length === 1);
  const drained = server.drain(60_000);
  await Promise.all([away, closed]);
  letGo();
  await call;
  await drained;
  session.destroy();
});

test("a drain of an idle server is immediate, and a second one does no harm", async () => {
  const server = await testServer();
  await server.drain(60_000);
  await server.drain(60_000);
});
