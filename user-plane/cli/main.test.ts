import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { nearest, verbNames } from "./verbs.ts";

const MAIN = join(import.meta.dirname, "main.ts");
const LAUNCHER = join(import.meta.dirname, "../../flyte-ts");

function run(args: string[], command = [process.execPath, MAIN], cwd = tmpdir()) {
  const [program = "", ...head] = command;
  const path = `${dirname(process.execPath)}:${process.env.PATH}`;
  return spawnSync(program, [...head, ...args], { cwd, encoding: "utf8", env: { ...process.env, PATH: path } });
}

describe("flyte-ts", () => {
  test("--help lists every verb with its summary", async () => {
    const { status, stdout, stderr } = run(["--help"]);
    assert.equal(status, 0);
    assert.equal(stderr, "");
    for (const name of await verbNames()) assert.match(stdout, new RegExp(`^  ${name} +\\S`, "m"));
  });

  test("without a verb it shows the same on stderr and fails as wrong usage", () => {
    const { status, stdout, stderr } = run([]);
    assert.equal(status, 2);
    assert.equal(stdout, "");
    assert.match(stderr, /^usage: flyte-ts <verb>/);
  });

  test("every verb has its help, in three ways", async () => {
    for (const name of await verbNames()) {
      const asked = [
        [name, "--help"],
        ["help", name],
        ["--help", name],
      ].map((args) => run(args));
      for (const { status, stdout } of asked) {
        assert.equal(status, 0);
        assert.ok(stdout.startsWith(`usage: flyte-ts ${name}`), stdout);
      }
    }
  });

  test("version tells flyte-ts, contract and node; also as --version and as JSON", () => {
    const { status, stdout } = run(["version", "--json"]);
    assert.equal(status, 0);
    const versions: Record<string, string> = JSON.parse(stdout);
    assert.deepEqual(Object.keys(versions), ["flyte-ts", "flyteidl2", "node"]);
    assert.equal(versions.node, process.versions.node);
    assert.match(run(["--version"]).stdout, /^flyte-ts \d+\.\d+\.\d+\nflyteidl2 \d+\.\d+\.\d+\nnode /);
  });

  const wrong: [string[], RegExp][] = [
    [["verison"], /unknown verb "verison"\n {2}next: did you mean flyte-ts version\?/],
    [["qqqqqq"], /unknown verb "qqqqqq"\n {2}next: flyte-ts --help/],
    [["../main"], /unknown verb "\.\.\/main"/],
    [["--nope"], /unknown option "--nope"/],
    [["help", "nope"], /flyte-ts help: unknown verb "nope"/],
    [["version", "--nope"], /flyte-ts version: unknown option '--nope'\n {2}next: flyte-ts version --help/],
    [["version", "extra"], /unexpected argument "extra"/],
    [["up", "--port", "http"], /--port must be a number from 0 to 65535, not "http"/],
    [["up", "--port", "65536"], /--port must be/],
    [["up", "--port"], /flyte-ts up: option '--port <value>' argument missing/],
    [["up", "here"], /unexpected argument "here"/],
    [["cluster"], /say what to do: list, show, drain, resume, forget, explain/],
    [["cluster", "lits"], /unknown command "lits"/],
    [["cluster", "toString"], /unknown command "toString"/],
    [["cluster", "show"], /name the cluster to show/],
    [["cluster", "list", "east"], /unexpected argument "east"/],
    [["cluster", "explain", "a/b/c"], /name a RUN or RUN\/ACTION, not "a\/b\/c"/],
    [["cluster", "list", "--endpoint", "here"], /--endpoint must be a URL/],
  ];
  for (const [args, message] of wrong) {
    test(`wrong usage: ${args.join(" ")}`, () => {
      const { status, stdout, stderr } = run(args);
      assert.equal(status, 2);
      assert.equal(stdout, "");
      assert.match(stderr, message);
      assert.doesNotMatch(stderr, /\n {4}at /);
    });
  }

  test("the launcher works through a chain of links and from any folder", (t) => {
    const folder = mkdtempSync(join(tmpdir(), "flyte-ts-launcher-"));
    t.after(() => rmSync(folder, { recursive: true }));
    symlinkSync(LAUNCHER, join(folder, "one"));
    symlinkSync("one", join(folder, "two"));
    const { status, stdout, stderr } = run(["version", "--json"], [join(folder, "two")], folder);
    assert.equal(stderr, "");
    assert.equal(status, 0);
    assert.match(stdout, /"flyte-ts"/);
    assert.equal(run(["nope"], [join(folder, "two")]).status, 2);
  });
});

describe("nearest", () => {
  const names = ["get", "help", "run", "up", "version"];
  const cases: [string, string | undefined][] = [
    ["vers", "version"],
    ["hlep", undefined],
    ["halp", "help"],
    ["u", "up"],
    ["xyz", undefined],
  ];
  for (const [word, meant] of cases) {
    test(`${word} → ${meant ?? "nothing"}`, () => assert.equal(nearest(word, names), meant));
  }
});
