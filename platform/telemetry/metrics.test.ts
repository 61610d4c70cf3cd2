import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { createMetrics } from "./index.ts";

test("metrics exist at zero, for all known labels", async () => {
  const metrics = createMetrics({ processMetrics: false });
  metrics.counter({ name: "plain_total", help: "plain" });
  metrics.counter({ name: "calls_total", help: "calls", labels: { code: ["ok", "internal"], door: ["a", "b"] } });
  metrics.gauge({ name: "depth", help: "depth", labels: { queue: ["default"] } });
  metrics.histogram({ name: "seconds", help: "seconds", labels: { code: ["ok"] }, buckets: [1] });
  metrics.counter({ name: "open_total", help: "labels unknown yet", labels: { method: [] } }).inc({ method: "m" });
  const text = await metrics.registry.metrics();
  for (const line of [
    "plain_total 0",
    'calls_total{code="ok",door="a"} 0',
    'calls_total{code="internal",door="b"} 0',
    'depth{queue="default"} 0',
    'seconds_bucket{le="1",code="ok"} 0',
    'seconds_count{code="ok"} 0',
    'open_total{method="m"} 1',
  ]) {
    assert.ok(text.includes(line), `${line}\nin\n${text}`);
  }
});

test("two registries do not know each other", async () => {
  const [one, two] = [createMetrics({ processMetrics: false }), createMetrics({ processMetrics: false })];
  one.counter({ name: "a_total", help: "a" }).inc();
  two.counter({ name: "a_total", help: "a" });
  assert.match(await one.registry.metrics(), /a_total 1/);
  assert.match(await two.registry.metrics(), /a_total 0/);
});

test("a gauge can be read when it is asked for", async () => {
  const metrics = createMetrics({ processMetrics: false });
  let depth = 1;
  metrics.gauge({ name: "depth", help: "depth", collect: (gauge) => gauge.set(depth) });
  depth = 7;
  assert.match(await metrics.registry.metrics(), /depth 7/);
});

test("the handler serves /metrics and nothing else", async (t) => {
  const metrics = createMetrics();
  const server = createServer(async (req, res) => {
    if (!(await metrics.handler(req, res))) res.writeHead(404).end();
  }).listen(0, "127.0.0.1");
  t.after(() => server.close());
  await new Promise((resolve) => server.once("listening", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const answer = await fetch(`${url}/metrics?x=1`);
  assert.match(answer.headers.get("content-type") ?? "", /^text\/plain; version=0\.0\.4/);
  assert.match(await answer.text(), /process_cpu_seconds_total/);
  assert.equal((await fetch(`${url}/metric`)).status, 404);
  assert.equal((await fetch(`${url}/metrics`, { method: "POST" })).status, 404);
});
