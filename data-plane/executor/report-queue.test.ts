/** Reports: batched, in order for each attempt, repeated until taken. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { create } from "@bufbuild/protobuf";
import {
  type AttemptReport,
  type ReportRequest,
  ReportResponseSchema,
  ReportVerdict,
} from "@flyte-ts/contract/flytets/cluster/v1/cluster_link_pb.ts";
import { attemptPlaces, type Transition } from "./attempt.ts";
import { attemptReport } from "./report.ts";
import { reportQueue } from "./report-queue.ts";
import { keyOf, leaseOf } from "./testing/leases.ts";

const at = new Date(0);
const failed: Transition = {
  phase: "failed",
  at,
  error: { code: "X", message: "x", kind: "user", recoverable: true },
};

function report(name: string, ...transitions: Transition[]): [string, AttemptReport] {
  const lease = leaseOf({ name });
  return [keyOf(lease), attemptReport(lease, attemptPlaces(lease).attemptUri, { transitions })];
}

function harness(answer: (request: ReportRequest, call: number) => ReportVerdict[]) {
  const calls: ReportRequest[] = [];
  const taken: string[] = [];
  let changed = () => {};
  const stop = new AbortController();
  const queue = reportQueue({
    cluster: "c",
    backoff: { firstMs: 1, maxMs: 2 },
    maxReports: 8,
    link: {
      async report(request) {
        calls.push(request);
        await new Promise((resolve) => setImmediate(resolve));
        return create(ReportResponseSchema, { verdicts: answer(request, calls.length) });
      },
    },
    onVerdict: (key, { transitions }, verdict) => {
      for (const { phase } of transitions) taken.push(`${key} ${phase} ${verdict}`);
      changed();
    },
    onError: () => {},
  });
  const running = queue.run(stop.signal);
  return {
    calls,
    taken,
    queue,
    async until(count: number) {
      while (taken.length < count) await new Promise<void>((resolve) => (changed = resolve));
    },
    async stop() {
      stop.abort();
      await running;
    },
  };
}

const accept = (request: ReportRequest) => request.reports.map(() => ReportVerdict.ACCEPTED);

test("what arrives during a call goes into the next one, merged for each attempt", async () => {
  const h = harness(accept);
  h.queue.push(...report("a", { phase: "running", at }));
  await h.until(1);
  for (let index = 0; index < 5; index += 1) h.queue.push(...report(`b${index}`, { phase: "running", at }));
  h.queue.push(...report("b0", failed));
  await h.until(7);
  await h.stop();
  assert.equal(h.calls.length, 2);
  assert.deepEqual(
    h.calls[1]?.reports.find((one) => one.ref?.name === "b0")?.transitions.map((one) => one.phase),
    [4, 6],
  );
  assert.ok((h.calls[1]?.reports[0]?.error.length ?? 0) > 0);
});

test("a failed call is repeated, nothing is lost, and order holds for each attempt", async () => {
  const h = harness((request, call) => {
    if (call <= 6) throw new Error("away");
    return accept(request);
  });
  for (let index = 0; index < 20; index += 1) h.queue.push(...report(`a${index}`, { phase: "running", at }));
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
  for (let index = 0; index < 20; index += 1) h.queue.push(...report(`a${index}`, failed));
  await h.until(40);
  await h.stop();
  for (let index = 0; index < 20; index += 1) {
    const mine = h.taken.filter((line) => line.startsWith(`7/a${index}/1 `));
    assert.deepEqual(mine, [`7/a${index}/1 4 accepted`, `7/a${index}/1 6 accepted`]);
  }
});

test("one report that cannot be taken does not hold up the others", async () => {
  const h = harness((request) => {
    if (request.reports.some((one) => one.ref?.name === "poison")) throw new Error("malformed");
    return accept(request);
  });
  h.queue.push(...report("poison", { phase: "running", at }));
  for (let index = 0; index < 30; index += 1) h.queue.push(...report(`a${index}`, { phase: "running", at }));
  await h.until(30);
  assert.equal(h.queue.waiting <= 1, true);
  await h.stop();
});

test("verdicts that do not fit the reports are taken as a failed call", async () => {
  const h = harness((request, call) => (call === 1 ? [] : accept(request)));
  h.queue.push(...report("a", failed));
  await h.until(1);
  await h.stop();
  assert.equal(h.calls.length, 2);
});

test("what waits at the end is handed in once more, without insisting", async () => {
  const h = harness(() => {
    throw new Error("away for good");
  });
  h.queue.push(...report("a", failed));
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
  await h.stop();
  assert.equal(h.queue.waiting, 1);
});
