import assert from "node:assert/strict";
import { test } from "node:test";
import { type Config, loadConfig } from "@flyte-ts/platform/config";
import { type Composition, type Served, serve } from "./serve.ts";

/** `failed` is what ends its work, if anything does. */
async function served(signal: AbortSignal, failed?: Error) {
  const told = { out: "", err: "", stopped: 0 };
  const composition: Composition<Config, Served> = {
    flags: {},
    load: loadConfig,
    start: async () => ({
      failed: failed ? Promise.reject<never>(failed) : new Promise<never>(() => {}),
      async stop() {
        told.stopped += 1;
      },
    }),
    ready: () => ({ url: "http://here" }),
    screen: () => "",
    farewell: "",
  };
  const code = await serve(
    {
      flags: { json: true },
      env: { FLYTE_TS_LOGS_LEVEL: "silent" },
      cwd: "/",
      stdout(text) {
        told.out += text;
      },
      stderr(text) {
        told.err += text;
      },
      signal,
    },
    composition,
  );
  return { code, ...told };
}

test("a server whose work ends by itself is stopped, and the program fails: whoever runs it starts it again", async () => {
  const { code, stopped, out, err } = await served(new AbortController().signal, new Error("the store is broken"));
  assert.deepEqual([code, stopped], [1, 1]);
  assert.match(out, /"event":"ready"/);
  assert.match(err, /^flyte-ts: the store is broken\n/);
});

test("a server that is told to stop is stopped, and that is no failure", async () => {
  const { code, stopped, err } = await served(AbortSignal.abort());
  assert.deepEqual([code, stopped, err], [0, 1, ""]);
});
