import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import {
  ConnectRequestSchema,
  ConnectResponseSchema,
  HeartbeatResponseSchema,
  ReportRequestSchema,
  ReportResponseSchema,
} from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";
import type { ClusterLink } from "@flyte-ts/control-plane/queue-service";
import { ActionPhase } from "@flyte-ts/core";
import { noTracer, type Tracer, traceparentOfRun } from "@flyte-ts/platform/telemetry";
import { tracedLink } from "./traced-path.ts";

const ref = { project: "p", domain: "d", run: "r1", name: "a0", runKey: 7n };

/** The other side of the link, scripted: one lease, every report accepted. */
const link: ClusterLink = {
  async *connect() {
    yield create(ConnectResponseSchema, { leased: [{ ref, attempt: 1 }] });
  },
  describe: () => ({}),
  heartbeat: async () => create(HeartbeatResponseSchema, { current: true }),
  report: async () => create(ReportResponseSchema, { verdicts: [1] }),
};

function recorder() {
  const spans: { name: string; parent: string | undefined; failed: boolean }[] = [];
  const under = (parent: string | undefined): Tracer => ({
    enabled: true,
    traceparent: parent,
    withParent: under,
    async span(name, _attributes, fn) {
      const span = { name, parent, failed: false };
      try {
        return await fn(under(parent));
      } catch (error) {
        span.failed = true;
        throw error;
      } finally {
        spans.push(span);
      }
    },
  });
  return { spans, tracer: under(undefined) };
}

async function play(phase: ActionPhase) {
  const { spans, tracer } = recorder();
  const traced = tracedLink(link, tracer);
  for await (const response of traced.connect(create(ConnectRequestSchema, { cluster: "c" }), AbortSignal.abort())) {
    assert.equal(response.leased.length, 1);
  }
  const reports = [{ ref, attempt: 1, transitions: [{ phase, at: {} }], released: true }];
  await traced.report(create(ReportRequestSchema, { cluster: "c", reports }));
  await new Promise((resolve) => setImmediate(resolve));
  return spans;
}

test("lease, report and end of an attempt are spans of the run's own trace", async () => {
  const parent = traceparentOfRun("p/d/r1");
  assert.deepEqual(await play(ActionPhase.SUCCEEDED), [
    { name: "report", parent, failed: false },
    { name: "attempt", parent, failed: false },
  ]);
});

test("a failed attempt is a failed span, and fails nobody else", async () => {
  const attempt = (await play(ActionPhase.FAILED)).find(({ name }) => name === "attempt");
  assert.equal(attempt?.failed, true);
});

test("without a collector nothing is wrapped", () => {
  assert.equal(tracedLink(link, noTracer), link);
});
