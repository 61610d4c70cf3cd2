// The stages of `npm test`. A stage returns how many checks passed, failed and were skipped.

import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { readText } from "../setup/stamp.mjs";

/** @typedef {{ passed: number, failed: number, skipped: number }} Counts */

/** No test takes so long: one that does will never end, and is told by its name. */
const HANGS_MS = 900_000;

/** Rooms whose imports and tests we look at. */
const ROOMS = [
  "contract",
  "core",
  "platform",
  "control-plane",
  "data-plane",
  "user-plane",
  "flyted",
  "bench",
  "e2e",
  "scripts",
];

/**
 * @param {string} root @param {{ node: string, python: string }} tools
 * @returns {{ name: string, kind: "lint" | "unit" | "e2e", run: (files: string[]) => Promise<Counts> }[]}
 */
export function stages(root, { node, python }) {
  const env = {
    ...process.env,
    PATH: `${dirname(node)}${delimiter}${process.env.PATH ?? ""}`,
    FLYTE_TS_PYTHON: python,
  };
  const tool = (name) => join(root, "node_modules/.bin", name);
  const run = (command, args, more = {}) => child(command, args, { cwd: root, env: { ...env, ...more } });
  const lint = (name, command, args) => ({
    name,
    kind: "lint",
    run: async () => one((await run(command, args)) === 0),
  });
  const tests = (name, kind, concurrency, all) => ({
    name,
    kind,
    run: (wanted) =>
      runTests(run, node, concurrency, wanted.length === 0 ? all() : all().filter((file) => matches(file, wanted))),
  });
  const schemaCheck = join(root, "control-plane/schema/check.ts");
  return [
    lint("generated: contract descriptor set", python, [join(root, "scripts/test/check_descriptor_set.py")]),
    ...(existsSync(schemaCheck) ? [lint("generated: schema.sql", node, [schemaCheck])] : []),
    lint("format and lint: biome", tool("biome"), [
      "ci",
      "--error-on-warnings",
      ...(process.stdout.isTTY ? [] : ["--colors=off"]),
      ".",
    ]),
    lint("types: tsc", tool("tsc"), ["--noEmit", "--pretty", "false"]),
    lint("import rules: dependency-cruiser", tool("depcruise"), ["--config", ".dependency-cruiser.mjs", ...ROOMS]),
    lint("dead code: knip", tool("knip"), ["--no-progress", "--no-config-hints"]),
    tests("unit tests", "unit", 2, () => testFiles(root).filter((file) => !file.startsWith("e2e/"))),
    // They wait more than they compute: outages, time limits, pods that start.
    tests("end-to-end tests", "e2e", 2, () => testFiles(root).filter((file) => file.startsWith("e2e/"))),
  ];
}

/** Ends the PostgreSQL server and the Kubernetes clusters that test files share. */
export async function stopSharedServers(root, { node }) {
  for (const [file, stop] of [
    ["platform/postgres/testing.ts", "stopTestServer"],
    ["platform/kubernetes/testing.ts", "stopTestCluster"],
  ]) {
    const testing = join(root, file);
    const code = `const { ${stop} } = await import(${JSON.stringify(testing)}); await ${stop}();`;
    await child(node, ["--input-type=module", "--eval", code], { cwd: root, env: process.env });
  }
}

/** @returns {Promise<Counts>} */
async function runTests(run, node, concurrency, files) {
  if (files.length === 0) {
    process.stdout.write("no test files\n");
    return { passed: 0, failed: 0, skipped: 0 };
  }
  const folder = mkdtempSync(join(tmpdir(), "flyte-ts-test-"));
  try {
    const countsFile = join(folder, "counts.json");
    const reporter = new URL("reporter.mjs", import.meta.url).href;
    const how = [`--test-concurrency=${concurrency}`, `--test-timeout=${HANGS_MS}`, `--test-reporter=${reporter}`];
    const args = ["--test", ...how, ...files];
    const code = await run(node, args, { FLYTE_TS_TEST_COUNTS: countsFile });
    const text = readText(countsFile);
    const counts = text === undefined ? { passed: 0, failed: 0, skipped: 0 } : JSON.parse(text);
    // A runner that fails without a failed test (killed, out of memory) is a failure too.
    return code !== 0 && counts.failed === 0 ? { ...counts, failed: 1 } : counts;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** @returns {Counts} */
function one(passed) {
  return { passed: passed ? 1 : 0, failed: passed ? 0 : 1, skipped: 0 };
}

function matches(file, wanted) {
  return wanted.some((word) => file.includes(word.replace(/^\.\//, "")));
}

/** All test files of the repository, by the rooms' own word: what is in git or could be. */
function testFiles(root) {
  const found = [];
  const skip = new Set(
    readFileSync(join(root, ".gitignore"), "utf8")
      .split("\n")
      .map((line) => line.replace(/\/$/, "")),
  );
  const walk = (folder) => {
    for (const entry of readdirSync(join(root, folder), { withFileTypes: true })) {
      const path = `${folder}/${entry.name}`;
      if (skip.has(entry.name) || skip.has(path)) continue;
      if (entry.isDirectory()) walk(path);
      else if (/\.test\.(ts|mjs)$/.test(entry.name)) found.push(path);
    }
  };
  ROOMS.forEach(walk);
  return found.sort();
}

/** Runs a command with its output shown; returns its exit code. */
function child(command, args, { cwd, env }) {
  return new Promise((resolve) => {
    const started = spawn(command, args, { cwd, env, stdio: ["ignore", "inherit", "inherit"] });
    started.on("error", (error) => {
      process.stdout.write(`cannot run ${command}: ${error.message}\n`);
      resolve(127);
    });
    started.on("close", (code) => resolve(code ?? 1));
  });
}
