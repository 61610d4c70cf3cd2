import assert from "node:assert/strict";
import { appendFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { Code } from "@connectrpc/connect";
import { LogLineOriginator } from "@flyte-ts/contract/flyteidl2/logs/dataplane/payload_pb.ts";
import { toTimestamp } from "@flyte-ts/core";
import { type LogBatch, LogNotFoundError, type LogStore } from "@flyte-ts/data-plane/logs";
import {
  actionId,
  actionRecord,
  dataProxyFixture,
  type Fixture,
  servedDataProxy,
  wireError,
} from "./testing/fixture.ts";

type Logs = Pick<LogStore, "tail">;

const at = new Date("2026-01-02T03:04:05.678Z");
const line = (message: string) => ({ message, timestamp: at });
const attemptUri = actionRecord().attemptUri(1);

/** Logs that hold fixed batches and remember what they were asked for. */
function fixedLogs(batches: LogBatch[]): Logs & { asked: string[] } {
  const asked: string[] = [];
  return {
    asked,
    async *tail({ attemptUri: uri }) {
      asked.push(uri);
      yield* batches;
    },
  };
}

async function collect({ client }: Fixture, request: Parameters<Fixture["client"]["tailLogs"]>[0]) {
  const messages = [];
  for await (const { logs } of client.tailLogs(request)) messages.push(logs.flatMap(({ lines }) => lines));
  return messages;
}

test("a live attempt is followed from its first line to its end, and read again from the store", async (t) => {
  const fixture = await servedDataProxy(t);
  fixture.actions.set("a0", actionRecord());
  const file = join(fixture.folder, "log");
  await writeFile(file, "one\n");
  await fixture.logs.follow(attemptUri, file);
  const lines = [];
  for await (const { logs } of fixture.client.tailLogs({ actionId: actionId("a0"), attempt: 1 })) {
    for (const { message, timestamp, originator } of logs.flatMap((one) => one.lines)) {
      lines.push(message);
      assert.ok(timestamp && timestamp.seconds > 1_700_000_000n);
      assert.equal(originator, LogLineOriginator.USER);
    }
    if (lines.length === 1) await appendFile(file, "two\nthrée");
    if (lines.length === 2) {
      await fixture.logs.finish(attemptUri, () => {});
    }
  }
  assert.deepEqual(lines, ["one\n", "two\n", "thrée"]);
  fixture.actions.set("a0", actionRecord({ terminal: true }));
  const again = await collect(fixture, { actionId: actionId("a0"), attempt: 1 });
  assert.deepEqual(
    again.flat().map(({ message }) => message),
    lines,
  );
});

test("at most 100 lines in a message", async (t) => {
  const logs = fixedLogs([
    { lines: Array.from({ length: 250 }, (_, i) => line(`line ${i}\n`)) },
    { lines: [] },
    { lines: [line("héllo")] },
  ]);
  const fixture = await dataProxyFixture(t, { logs, validate: true });
  fixture.actions.set("a0", actionRecord());
  const messages = await collect(fixture, { actionId: actionId("a0"), attempt: 1 });
  assert.deepEqual(
    messages.map((lines) => lines.length),
    [100, 100, 50, 1],
  );
  assert.equal(messages.flat()[249]?.message, "line 249\n");
  assert.deepEqual(messages.flat()[250]?.timestamp, toTimestamp(at));
});

test("long lines make more, smaller messages", async (t) => {
  const long = "x".repeat(200_000);
  const logs = fixedLogs([{ lines: Array.from({ length: 7 }, () => line(long)) }]);
  const fixture = await dataProxyFixture(t, { logs });
  fixture.actions.set("a0", actionRecord());
  const messages = await collect(fixture, { actionId: actionId("a0"), attempt: 1 });
  assert.deepEqual(
    messages.map((lines) => lines.length),
    [2, 2, 2, 1],
  );
});

test("attempt 0 is the latest, earlier ones can be named", async (t) => {
  const logs = fixedLogs([]);
  const fixture = await dataProxyFixture(t, { logs });
  const record = actionRecord({ attempts: 3 });
  fixture.actions.set("a0", record);
  await collect(fixture, { actionId: actionId("a0"), attempt: 0 });
  await collect(fixture, { actionId: actionId("a0"), attempt: 2 });
  assert.deepEqual(logs.asked, [record.attemptUri(3), record.attemptUri(2)]);
});

test("the first line is waited for, and the end of an attempt that says nothing", async (t) => {
  const looks: PromiseWithResolvers<void>[] = [Promise.withResolvers(), Promise.withResolvers()];
  const said = new Set<string>();
  const logs: Logs = {
    async *tail({ attemptUri: uri }) {
      looks[uri === attemptUri ? 0 : 1]?.resolve();
      if (!said.has(uri)) throw new LogNotFoundError(uri);
      yield { lines: [line("at last\n")] };
    },
  };
  const fixture = await dataProxyFixture(t, { logs });
  fixture.actions.set("a0", actionRecord());
  fixture.actions.set("silent", actionRecord({ attempts: 2 }));
  const late = collect(fixture, { actionId: actionId("a0"), attempt: 1 });
  const never = collect(fixture, { actionId: actionId("silent"), attempt: 2 });
  await Promise.all(looks.map(({ promise }) => promise));
  said.add(attemptUri);
  fixture.actions.set("silent", actionRecord({ attempts: 2, terminal: true }));
  assert.deepEqual(
    (await late).flat().map(({ message }) => message),
    ["at last\n"],
  );
  assert.deepEqual(await never, []);
});

test("NOT_FOUND while lines may still come; an empty stream when none ever will", async (t) => {
  const fixture = await dataProxyFixture(t, { limits: { firstLineMs: 0 } });
  fixture.actions.set("queued", actionRecord({ attempts: 0 }));
  fixture.actions.set("running", actionRecord({ attempts: 2 }));
  fixture.actions.set("done", actionRecord({ terminal: true }));
  const tail = (name: string, attempt: number) => collect(fixture, { actionId: actionId(name), attempt });
  await assert.rejects(tail("queued", 1), wireError(Code.NotFound, /first attempt/));
  await assert.rejects(tail("running", 2), wireError(Code.NotFound, /no log of the attempt/));
  const silentFile = join(fixture.folder, "silent");
  await writeFile(silentFile, "");
  await fixture.logs.follow(actionRecord().attemptUri(2), silentFile);
  await assert.rejects(tail("running", 2), wireError(Code.NotFound, /no log of the attempt/));
  await assert.rejects(tail("running", 3), wireError(Code.NotFound, /no attempt 3/));
  assert.deepEqual(await tail("running", 1), []);
  assert.deepEqual(await tail("done", 1), []);
  await assert.rejects(tail("none", 1), wireError(Code.NotFound, /none/));
  await assert.rejects(collect(fixture, { attempt: 1 }), wireError(Code.InvalidArgument, /action_id/));
});

test("a failure in the middle reaches the client after the lines before it", async (t) => {
  const logs: Logs = {
    async *tail() {
      yield { lines: [line("one\n")] };
      throw new Error("the disk is gone");
    },
  };
  const fixture = await dataProxyFixture(t, { logs });
  fixture.actions.set("a0", actionRecord({ terminal: true }));
  const seen: string[] = [];
  const read = async () => {
    for await (const answer of fixture.client.tailLogs({ actionId: actionId("a0"), attempt: 1 })) {
      seen.push(...answer.logs.flatMap(({ lines }) => lines.map(({ message }) => message)));
    }
  };
  await assert.rejects(read(), wireError(Code.Internal));
  assert.deepEqual(seen, ["one\n"]);
});

test("a client that goes away ends the reading, whether it waits for lines or has too many", async (t) => {
  for (const endless of [true, false]) {
    const over = Promise.withResolvers<number>();
    const waiting = Promise.withResolvers<void>();
    const logs: Logs = {
      async *tail({ signal }) {
        let read = 0;
        try {
          while (!signal?.aborted) {
            yield { lines: [line(`${"x".repeat(60_000)}\n`)] };
            read += 1;
            if (endless || read < 2) continue;
            waiting.resolve();
            await new Promise((resolve) => signal?.addEventListener("abort", resolve, { once: true }));
          }
        } finally {
          over.resolve(read);
        }
      },
    };
    const fixture = await servedDataProxy(t, { logs });
    fixture.actions.set("a0", actionRecord());
    const leave = new AbortController();
    const stream = fixture.client.tailLogs({ actionId: actionId("a0"), attempt: 1 }, { signal: leave.signal });
    const lines = stream[Symbol.asyncIterator]();
    await lines.next();
    await lines.next();
    if (!endless) await waiting.promise;
    leave.abort();
    await assert.rejects(lines.next(), wireError(Code.Canceled));
    const read = await over.promise;
    // what sockets buffer, not the endless log
    assert.ok(read < 1000, `${read} batches were read for two that were taken`);
  }
});
