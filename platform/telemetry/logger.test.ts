import assert from "node:assert/strict";
import { test } from "node:test";
import { createLogger, type LoggerOptions } from "./index.ts";

function captured(options: LoggerOptions = {}) {
  const lines: string[] = [];
  const log = createLogger({ ...options, destination: { write: (line) => lines.push(line) } });
  return { log, lines, last: () => JSON.parse(lines.at(-1) ?? "{}") as Record<string, unknown> };
}

test("a line has time, level, message and fields", () => {
  const { log, last } = captured();
  log.info({ queue: "default" }, "lease taken");
  const { time, ...rest } = last();
  assert.match(String(time), /^\d{4}-\d\d-\d\dT/);
  assert.deepEqual(rest, { level: "info", queue: "default", msg: "lease taken" });
});

test("levels below the chosen one are not written", () => {
  const { log, lines } = captured({ level: "warn" });
  log.info("quiet");
  log.warn("loud");
  assert.equal(lines.length, 1);
});

test("secret fields are redacted at any depth, in children too, and page tokens are not", () => {
  const { log, lines, last } = captured();
  log
    .child({ room: "a" })
    .child({ apiKey: "hush" })
    .info(
      {
        password: "hush",
        headers: { Authorization: "Bearer hush", "set-cookie": "hush" },
        store: [{ secretAccessKey: "hush", region: "x" }],
        upload_token: "hush",
        databaseUrl: "postgres://u:hush@h/db",
        nextPageToken: "42",
        secret: "",
      },
      "config loaded",
    );
  assert.doesNotMatch(lines.join(), /hush/);
  assert.equal(last().room, "a");
  assert.equal(last().nextPageToken, "42");
  assert.equal(last().secret, "");
});

test("signed queries and passwords in URLs are removed from fields, messages and stacks", () => {
  const { log, lines, last } = captured();
  const url = "http://h/b/k?X-Amz-Date=1&X-Amz-Signature=hush&x=y";
  log.error(
    { url, err: new Error(`PUT ${url} failed`, { cause: new Error("postgres://me:hush@h/db") }) },
    `PUT ${url}`,
  );
  log.info({ url: "https://h/x?sig=hush" }, "x");
  log.info({ url: "https://h/x?page=2" }, "x");
  assert.doesNotMatch(lines.join(), /hush/);
  assert.match(lines[0] ?? "", /http:\/\/h\/b\/k\?\[redacted\]/);
  assert.match(lines[0] ?? "", /postgres:\/\/me:\[redacted\]@h\/db/);
  assert.equal(last().url, "https://h/x?page=2");
});

test("an error prints with type, stack and cause", () => {
  const { log, last } = captured();
  log.error({ err: new TypeError("no", { cause: new Error("because") }) }, "rpc failed");
  const err = last().err as Record<string, string>;
  assert.equal(err.type, "TypeError");
  assert.match(err.message ?? "", /no: because/);
  assert.match(err.stack ?? "", /logger\.test/);
});

test("pretty lines are for people, and as secret", () => {
  const { log, lines } = captured({ format: "pretty" });
  log.warn({ queue: "my queue", depth: 3, token: "hush", err: new Error("full") }, "enqueue refused");
  assert.match(
    lines[0] ?? "",
    /^\d\d:\d\d:\d\d\.\d{3} WARN {2}enqueue refused queue="my queue" depth=3 token=\[redacted\]\n {2}Error: full\n/,
  );
  assert.doesNotMatch(lines.join(), /hush/);
});
