/**
 * The black-box cases that are kept beside the project, where they are present: FLYTE_TS_ACCEPTANCE names the folder, or
 * it is ../shared/acceptance. They are no part of the project, so their absence is a skip everywhere.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import type { TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { cleanEnvironment, python, type TestServer } from "./server.ts";

const root = fileURLToPath(new URL("../..", import.meta.url));
const folder = resolve(root, process.env.FLYTE_TS_ACCEPTANCE ?? "../shared/acceptance");

/** Upstream's files that cases run. */
export const examples = join(folder, "examples");

/** Globs over the names of cases. */
export const sections = {
  basics: [
    "no-outputs",
    "from-scratch",
    "user-logging",
    "hello",
    "hello-fails",
    "map",
    "map-partials",
    "map-error",
    "hello-v2-group",
    "grouping",
  ],
  types: ["types-*", "plan-agent"],
  "tasks as functions": [
    "display-names",
    "forward-tasks",
    "custom-context",
    "custom-context-run",
    "overrides",
    "bundle-ignore",
  ],
  durability: [
    "durable-time",
    "duplicate-action-id",
    "exception-handling",
    "non-recoverable",
    "crash-reuse",
    "trace-sync",
    "trace-complex",
    "trace-fanout",
    "trace-replay",
    "checkpoint",
    "checkpoint-async",
  ],
  "reports, logs, files": ["report-*", "logs-live", "file-*", "dir-sync", "dir-async"],
  "cancel and abort": ["cancel-siblings", "gather-exceptions", "abort-run", "abort-action", "leaky-coroutines"],
} as const satisfies Record<string, readonly string[]>;

/** For node:test's options. */
export const needsAcceptance = {
  skip: existsSync(join(folder, "accept.py")) ? false : `no acceptance cases in ${folder}`,
};

export interface AcceptanceOptions {
  server: TestServer;
  /** Globs over the names of cases. */
  only: readonly string[];
  /** More arguments of the harness. */
  args?: readonly string[];
}

/** Drives the server with the cases, each of which becomes a test within this one. */
export async function acceptanceCases(t: TestContext, { server, only, args = [] }: AcceptanceOptions): Promise<void> {
  const words = ["--endpoint", new URL(server.url).host, "--cases", join(folder, "cases.toml")];
  const child = spawn(python, [join(folder, "accept.py"), ...words, "--only", only.join(","), ...args], {
    cwd: server.dataDir,
    // The harness makes homes of its own.
    env: { ...cleanEnvironment(server.dataDir), PYTHONDONTWRITEBYTECODE: "1", PYTHONUNBUFFERED: "1" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  t.after(async () => void child.kill("SIGTERM"));
  let cases = 0;
  for await (const line of createInterface({ input: child.stdout })) {
    const [, word, id, rest = ""] = /^(PASS|FAIL|SKIP) +(\S+) +(.*)$/.exec(line) ?? [];
    if (word === undefined || id === undefined) continue;
    cases++;
    await t.test(id, (sub) => {
      if (word === "SKIP") sub.skip(rest);
      assert.notEqual(word, "FAIL", rest);
      sub.diagnostic(rest);
    });
  }
  assert.ok(cases > 0, "the harness reported no case");
}
