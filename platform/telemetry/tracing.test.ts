import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { type TestContext, test } from "node:test";
import { createTracing, noTracer, traceparentOf, traceparentOfRun } from "./index.ts";
import { parseTraceparent } from "./traceparent.ts";

interface OtlpSpan {
  name: string;
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  status: { code?: number; message?: string };
  attributes: { key: string; value: Record<string, unknown> }[];
}

interface OtlpBody {
  resourceSpans: {
    resource: { attributes: { key: string; value: { stringValue?: string } }[] };
    scopeSpans: { spans: OtlpSpan[] }[];
  }[];
}

/** An OTLP/HTTP collector that keeps what it gets. */
async function collector(t: TestContext) {
  const spans: OtlpSpan[] = [];
  const services: string[] = [];
  const paths: string[] = [];
  const server = createServer(async (req, res) => {
    paths.push(req.url ?? "");
    const chunks: Buffer[] = [];
    for await (const chunk of req) chunks.push(chunk as Buffer);
    const body = JSON.parse(Buffer.concat(chunks).toString()) as OtlpBody;
    for (const group of body.resourceSpans) {
      services.push(group.resource.attributes.find(({ key }) => key === "service.name")?.value.stringValue ?? "");
      for (const scope of group.scopeSpans) spans.push(...scope.spans);
    }
    res.writeHead(200, { "content-type": "application/json" }).end("{}");
  }).listen(0, "127.0.0.1");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  await new Promise((resolve) => server.once("listening", resolve));
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, spans, services, paths };
}

test("the way of an action through two processes is one trace", async (t) => {
  const { url, spans, services, paths } = await collector(t);
  const control = createTracing({ otlpEndpoint: url, serviceName: "control" });
  const executor = createTracing({ otlpEndpoint: `${url}/`, serviceName: "executor" });
  const parent = traceparentOfRun("flytesnacks/development/r1");

  const carried = await control.tracer
    .withParent(parent)
    .span("CreateRun", { run: "r1" }, (inside) =>
      inside.span("enqueue", { batch: 2 }, (deeper) => traceparentOf(deeper)),
    );
  await executor.tracer.withParent(carried).span("attempt", { attempt: 1 }, () => {});
  await Promise.all([control.shutdown(), executor.shutdown()]);

  const [create, enqueue, attempt] = ["CreateRun", "enqueue", "attempt"].map((name) =>
    spans.find((span) => span.name === name),
  );
  const { traceId, spanId } = parseTraceparent(parent) ?? assert.fail();
  assert.deepEqual([create?.traceId, enqueue?.traceId, attempt?.traceId], [traceId, traceId, traceId]);
  assert.deepEqual(
    [create?.parentSpanId, enqueue?.parentSpanId, attempt?.parentSpanId],
    [spanId, create?.spanId, enqueue?.spanId],
  );
  assert.deepEqual(create?.attributes, [{ key: "run", value: { stringValue: "r1" } }]);
  assert.deepEqual([...services].sort(), ["control", "executor"]);
  assert.ok(paths.every((path) => path === "/v1/traces"));
});

test("a thrown error marks its span and is thrown on", async (t) => {
  const { url, spans } = await collector(t);
  const tracing = createTracing({ otlpEndpoint: url, serviceName: "s" });
  const failing = tracing.tracer.span("attempt", {}, () => Promise.reject(new Error("exit code 1")));
  await assert.rejects(failing, /exit code 1/);
  await tracing.shutdown();
  assert.deepEqual(spans[0]?.status, { code: 2, message: "exit code 1" });
});

test("without an endpoint nothing is made, and fn runs all the same", async () => {
  for (const otlpEndpoint of [undefined, ""]) {
    const { tracer, shutdown } = createTracing({ otlpEndpoint, serviceName: "s" });
    assert.equal(tracer, noTracer);
    assert.equal(
      await tracer.withParent(traceparentOfRun("r")).span("x", {}, (inside) => traceparentOf(inside) ?? 7),
      7,
    );
    await shutdown();
  }
});

test("a collector that is away fails neither the work nor the shutdown", async () => {
  const tracing = createTracing({ otlpEndpoint: "http://127.0.0.1:9", serviceName: "s" });
  assert.equal(await tracing.tracer.span("x", {}, () => 1), 1);
  await tracing.shutdown();
});

test("a run's parent follows from its key; what is no traceparent is ignored", () => {
  assert.equal(traceparentOfRun("a/b/c"), traceparentOfRun("a/b/c"));
  assert.notEqual(traceparentOfRun("a/b/c"), traceparentOfRun("a/b/d"));
  assert.ok(parseTraceparent(traceparentOfRun("a/b/c")));
  for (const text of [
    undefined,
    "",
    "x",
    `00-${"0".repeat(32)}-${"1".repeat(16)}-01`,
    `00-${"1".repeat(32)}-${"0".repeat(16)}-01`,
  ]) {
    assert.equal(parseTraceparent(text), undefined);
  }
});
