// Proves that each import rule bites: a small house whose every file breaks one rule, held against the real rules.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { parseSync } from "@swc/core";
import config from "../.dependency-cruiser.mjs";

const ROOT = dirname(import.meta.dirname);

/** [rule, file, its text] */
const BROKEN = [
  ["contract-imports-nothing", "contract/gen/a_pb.ts", 'import { x } from "@flyte-ts/core"; export const a = x;'],
  [
    "core-imports-contract-only",
    "core/bad-arrow.ts",
    'import type { X } from "@flyte-ts/platform/rpc"; export type Y = X;',
  ],
  ["core-does-no-io", "core/bad-io.ts", 'import { readFileSync } from "node:fs"; export const y = readFileSync;'],
  ["platform-imports-core", "platform/rpc/bad-arrow.ts", 'export * from "@flyte-ts/data-plane/executor";'],
  ["platform-room-by-its-index", "platform/rpc/bad-room.ts", 'export * from "../postgres/pool.ts";'],
  ["control-plane-imports", "control-plane/run-service/bad-arrow.ts", 'export * from "@flyte-ts/data-plane/executor";'],
  [
    "control-plane-no-kubernetes",
    "control-plane/run-service/bad-kube.ts",
    'export * from "@flyte-ts/platform/kubernetes";',
  ],
  [
    "control-plane-room-by-its-index",
    "control-plane/run-service/bad-room.ts",
    'import type { S } from "../task-service/service.ts"; export type T = S;',
  ],
  [
    "data-plane-imports",
    "data-plane/executor/bad-arrow.ts",
    'export const load = () => import("@flyte-ts/control-plane/run-service");',
  ],
  [
    "data-plane-no-postgres",
    "data-plane/executor/bad-pg.ts",
    'import type { X } from "@flyte-ts/platform/postgres"; export type Y = X;',
  ],
  ["user-plane-imports", "user-plane/cli/bad-arrow.ts", 'export * from "@flyte-ts/control-plane/run-service";'],
  ["user-plane-no-postgres", "user-plane/cli/bad-pg.ts", 'export * from "@flyte-ts/platform/postgres";'],
  ["flyted-is-the-top", "user-plane/cli/bad-top.ts", 'export * from "@flyte-ts/flyted";'],
  ["workspace-by-its-name", "control-plane/run-service/bad-way.ts", 'export * from "../../core/index.ts";'],
  ["no-cycles", "core/cycle-a.ts", 'import { b } from "./cycle-b.ts"; export const a = () => b;'],
  ["no-import-of-tests", "core/bad-test.ts", 'export * from "./good.test.ts";'],
  [
    "no-test-help-in-code",
    "control-plane/run-service/bad-help.ts",
    'export * from "@flyte-ts/platform/postgres/testing";',
  ],
  ["must-resolve", "core/bad-name.ts", 'export * from "./nowhere.ts";'],
];

const GOOD = [
  ["core/index.ts", 'import { createHash } from "node:crypto"; export const x = createHash;'],
  ["core/good.test.ts", 'import { readFileSync } from "node:fs"; export const t = readFileSync;'],
  ["core/cycle-b.ts", 'import { a } from "./cycle-a.ts"; export const b = () => a;'],
  [
    "platform/rpc/index.ts",
    'import { x } from "@flyte-ts/core"; import type { X } from "../postgres/index.ts"; export const y: X = x; export type X = 1;',
  ],
  ["platform/postgres/index.ts", 'export type { X } from "./pool.ts";'],
  ["platform/postgres/pool.ts", "export type X = 1;"],
  ["platform/postgres/testing.ts", "export const server = 1;"],
  ["platform/kubernetes/index.ts", "export const kube = 1;"],
  ["control-plane/run-service/index.ts", 'import { task } from "../task-service/index.ts"; export const run = task;'],
  [
    "control-plane/run-service/good.test.ts",
    'import { server } from "@flyte-ts/platform/postgres/testing"; export const s = server;',
  ],
  ["control-plane/task-service/index.ts", 'export const task = 1; export type { S } from "./service.ts";'],
  ["control-plane/task-service/service.ts", "export type S = 1;"],
  ["data-plane/executor/index.ts", 'import type { X } from "@flyte-ts/platform/rpc"; export type E = X;'],
  ["user-plane/cli/verbs/up.ts", 'export const up = () => import("@flyte-ts/flyted");'],
  [
    "flyted/index.ts",
    'export * from "@flyte-ts/control-plane/run-service"; export * from "@flyte-ts/data-plane/executor";',
  ],
];

const WORKSPACES = {
  core: { ".": "./index.ts" },
  platform: { "./*/testing": "./*/testing.ts", "./*": "./*/index.ts" },
  "control-plane": { "./*": "./*/index.ts" },
  "data-plane": { "./*": "./*/index.ts" },
  flyted: { ".": "./index.ts" },
};

test("every rule has a file that breaks it", () => {
  assert.deepEqual(BROKEN.map(([rule]) => rule).sort(), config.forbidden.map((rule) => rule.name).sort());
});

test("each broken file is reported by its rule, and no good file is", (t) => {
  const house = mkdtempSync(join(tmpdir(), "flyte-ts-import-rules-"));
  t.after(() => rmSync(house, { recursive: true }));
  const write = (file, text) => {
    mkdirSync(dirname(join(house, file)), { recursive: true });
    writeFileSync(join(house, file), text);
  };
  for (const [, file, text] of BROKEN) write(file, text);
  for (const [file, text] of GOOD) write(file, text);
  write("package.json", JSON.stringify({ type: "module", workspaces: Object.keys(WORKSPACES) }));
  mkdirSync(join(house, "node_modules/@flyte-ts"), { recursive: true });
  for (const [name, exports] of Object.entries(WORKSPACES)) {
    write(`${name}/package.json`, JSON.stringify({ name: `@flyte-ts/${name}`, type: "module", exports }));
    symlinkSync(join("../..", name), join(house, "node_modules/@flyte-ts", name));
  }

  const folders = ["contract", "core", "platform", "control-plane", "data-plane", "user-plane", "flyted"];
  const tool = join(ROOT, "node_modules/.bin/depcruise");
  const args = [tool, "--config", join(ROOT, ".dependency-cruiser.mjs"), "--output-type", "json", ...folders];
  const result = spawnSync(process.execPath, args, { cwd: house, encoding: "utf8", maxBuffer: 1 << 26 });
  assert.equal(result.stderr, "");
  const found = JSON.parse(result.stdout).summary.violations.map(({ rule, from }) => `${rule.name} ${from}`);

  for (const [rule, file] of BROKEN) assert.ok(found.includes(`${rule} ${file}`), `${rule} did not report ${file}`);
  const good = new Set(GOOD.map(([file]) => file));
  good.delete("core/cycle-b.ts");
  const wrong = found.filter((line) => good.has(line.split(" ")[1]));
  assert.deepEqual(wrong, []);
});

test("no import hides inside a type, where the rules cannot see it", () => {
  const listed = spawnSync("git", ["ls-files", "-co", "--exclude-standard", "*.ts"], { cwd: ROOT, encoding: "utf8" });
  assert.equal(listed.status, 0, listed.stderr);
  const hidden = listed.stdout
    .split("\n")
    .filter((file) => file !== "" && existsSync(join(ROOT, file)))
    .flatMap((file) => hiddenImports(readFileSync(join(ROOT, file), "utf8")).map((name) => `${file}: ${name}`));
  assert.deepEqual(hidden, [], 'write `import type { X } from "…"` instead of `import("…").X`');
  assert.deepEqual(hiddenImports('type X = import("a").X; const y = await import("b");'), ["a"]);
});

/** What a text imports by `import("…")` in the place of a type. */
function hiddenImports(text) {
  const found = [];
  const walk = (node) => {
    if (typeof node !== "object" || node === null) return;
    if (node.type === "TsImportType") found.push(node.argument.value);
    for (const child of Object.values(node)) walk(child);
  };
  // Only files that have the words at all are worth parsing.
  if (/\bimport\(/.test(text)) walk(parseSync(text, { syntax: "typescript", target: "esnext" }));
  return found;
}
