import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { ROOT, setup } from "../setup.mjs";
import { causeIn, npmCommand } from "./child.mjs";
import { withLock } from "./lock.mjs";
import { isNewEnough, pinnedNode } from "./node.mjs";
import { isInstalled } from "./packages.mjs";
import { findPython } from "./python.mjs";
import { teller } from "./tell.mjs";

const SETUP = join(ROOT, "scripts/setup.mjs");

function folder(t) {
  const made = mkdtempSync(join(tmpdir(), "flyte-ts-setup-"));
  t.after(() => rmSync(made, { recursive: true, force: true }));
  return made;
}

/** A program that answers like a Python of this version. */
function fakePython(where, name, version) {
  const file = join(where, name);
  writeFileSync(file, `#!/bin/sh\necho ${version}\necho ${file}\n`);
  chmodSync(file, 0o755);
  return file;
}

describe("node", () => {
  const versions = {
    "18.20.0": false,
    "20.20.2": false,
    "22.17.9": false,
    "22.18.0": true,
    "23.9.0": false,
    "24.0.0": true,
  };
  for (const [version, enough] of Object.entries(versions)) {
    test(`${version} is ${enough ? "new enough" : "not taken"}`, () => assert.equal(isNewEnough(version), enough));
  }

  test("each pinned package has its integrity", () => {
    for (const [platform, arch] of [
      ["linux", "x64"],
      ["linux", "arm64"],
      ["darwin", "x64"],
      ["darwin", "arm64"],
    ]) {
      assert.match(pinnedNode(ROOT, platform, arch).entry.integrity, /^sha512-/);
    }
  });

  test("where none is pinned it says what to do", () => {
    assert.throws(
      () => pinnedNode(ROOT, "win32", "x64"),
      /Windows is not supported; use WSL 2\n {2}next: install Node/,
    );
    assert.throws(
      () => pinnedNode(ROOT, "linux", "riscv64"),
      /no pinned Node for linux-riscv64\n {2}next: install Node/,
    );
  });
});

describe("npm", () => {
  test("the npm that called us is used, another package manager is not", () => {
    assert.deepEqual(npmCommand({ npm_execpath: "/x/npm-cli.js" }), [process.execPath, ["/x/npm-cli.js"]]);
    assert.deepEqual(npmCommand({ npm_execpath: "/x/pnpm.cjs" }), ["npm", []]);
    assert.deepEqual(npmCommand({}), ["npm", []]);
  });

  test("the cause is found in what npm prints", () => {
    const output =
      "npm error code ENOTFOUND\nnpm error network request to https://r/x failed\nnpm error A complete log of this run can be found in: /l\n";
    assert.equal(causeIn(output), "network request to https://r/x failed");
    assert.equal(causeIn(""), "no output");
  });

  const lock = (packages) => JSON.stringify({ packages });
  const other = process.platform === "linux" ? "darwin" : "linux";
  const wants = {
    "node_modules/a": { version: "1.0.0", integrity: "x" },
    "node_modules/b": { version: "1.0.0", integrity: "y", optional: true, os: [other] },
  };
  const cases = [
    ["nothing is installed", undefined, false],
    ["all of this platform is there", { "node_modules/a": wants["node_modules/a"] }, true],
    ["a version differs", { "node_modules/a": { version: "2.0.0", integrity: "x" } }, false],
    ["something is left over", { ...wants, "node_modules/c": { version: "1.0.0" } }, false],
  ];
  for (const [title, has, expected] of cases) {
    test(`installed or not: ${title}`, (t) => {
      const root = folder(t);
      writeFileSync(join(root, "package-lock.json"), lock(wants));
      mkdirSync(join(root, "node_modules/a"), { recursive: true });
      mkdirSync(join(root, "node_modules/b"));
      if (has !== undefined) writeFileSync(join(root, "node_modules/.package-lock.json"), lock(has));
      assert.equal(isInstalled(root), expected);
    });
  }
});

describe("python", () => {
  test("the first one that is new enough is taken", async (t) => {
    const where = folder(t);
    fakePython(where, "old", "3.9.1");
    const good = fakePython(where, "good", "3.12.4");
    const env = { PATH: `${where}:/bin:/usr/bin` };
    assert.deepEqual(await findPython({ env, names: ["missing", "old", "good"] }), { path: good, version: "3.12.4" });
  });

  test("PYTHON decides alone", async (t) => {
    const where = folder(t);
    const env = { PATH: "/bin:/usr/bin", PYTHON: fakePython(where, "mine", "3.9.1") };
    await assert.rejects(
      findPython({ env }),
      /no Python ≥ 3\.10 found \(.*mine is 3\.9\.1\)\n {2}next: install Python 3\.10/,
    );
    await assert.rejects(findPython({ env: { PYTHON: "/nowhere/python" } }), /PYTHON=\/nowhere\/python cannot be run/);
  });

  test("none at all", async (t) => {
    await assert.rejects(findPython({ env: { PATH: folder(t) } }), /no Python found\n {2}next: .*python3-venv/);
  });
});

describe("lock", () => {
  test("one at a time, and the file is gone afterwards", async (t) => {
    const file = join(folder(t), "lock");
    const log = [];
    const said = [];
    const work = (name) => async () => {
      log.push(`${name} in`);
      await new Promise((resolve) => setImmediate(resolve));
      log.push(`${name} out`);
    };
    await Promise.all(["a", "b", "c"].map((name) => withLock(file, (text) => said.push(text), work(name))));
    const order = log.filter((line) => line.endsWith(" in")).map((line) => line[0]);
    assert.deepEqual(
      log,
      order.flatMap((name) => [`${name} in`, `${name} out`]),
    );
    assert.equal(said.length, 2);
    assert.match(said[0], new RegExp(`another set-up is running \\(pid ${process.pid}\\)`));
    assert.equal(existsSync(file), false);
  });

  test("a holder that died or hangs does not block", async (t) => {
    const file = join(folder(t), "lock");
    const dead = spawnSync(process.execPath, ["-p", "process.pid"], { encoding: "utf8" }).stdout.trim();
    writeFileSync(file, dead);
    assert.equal(
      await withLock(
        file,
        () => {},
        async () => "after the dead",
      ),
      "after the dead",
    );
    writeFileSync(file, String(process.pid));
    const longAgo = new Date(Date.now() - 120_000);
    utimesSync(file, longAgo, longAgo);
    assert.equal(
      await withLock(
        file,
        () => {},
        async () => "after the silent",
      ),
      "after the silent",
    );
  });

  test("it is freed when the work fails", async (t) => {
    const file = join(folder(t), "lock");
    await assert.rejects(
      withLock(
        file,
        () => {},
        () => Promise.reject(new Error("no")),
      ),
      /no/,
    );
    assert.equal(existsSync(file), false);
  });
});

describe("setup.mjs", () => {
  const run = (args) => spawnSync(process.execPath, [SETUP, ...args], { encoding: "utf8" });

  test("prints nothing when nothing is to do, and says so with --verbose", async () => {
    await setup();
    const said = [];
    await setup({ tell: teller({ write: (text) => said.push(text) }) });
    assert.deepEqual(said, []);
    await setup({ tell: teller({ verbose: true, write: (text) => said.push(text) }) });
    assert.match(said.join(""), /nothing to do/);
  });

  test("--print-node prints a Node that is new enough", () => {
    const { stdout, status } = run(["--print-node"]);
    assert.equal(status, 0);
    const version = spawnSync(stdout.trim(), ["-p", "process.versions.node"], { encoding: "utf8" }).stdout.trim();
    assert.ok(isNewEnough(version), version);
  });

  test("wrong usage", () => {
    for (const args of [["--nope"], ["--run"], ["--", "x"], ["x"]]) {
      const { status, stderr } = run(args);
      assert.equal(status, 2);
      assert.match(stderr, /^usage:/);
    }
    assert.equal(run(["--help"]).status, 0);
  });

  test("--run hands arguments, exit code and SIGTERM on", async (t) => {
    const script = join(folder(t), "script.mjs");
    writeFileSync(
      script,
      'if (process.argv[2] === "wait") { process.on("SIGTERM", () => process.exit(9)); setInterval(() => {}, 1000); console.log("up"); } else { console.log(process.argv.slice(2).join("|")); process.exitCode = 5; }',
    );
    const plain = run(["--run", "--", script, "a b", "--python"]);
    assert.equal(plain.stdout, "a b|--python\n");
    assert.equal(plain.status, 5);
    const waiting = spawn(process.execPath, [SETUP, "--run", "--", script, "wait"], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    await once(waiting.stdout, "data");
    waiting.kill("SIGTERM");
    assert.deepEqual(await once(waiting, "exit"), [9, null]);
  });
});

describe("the launcher flyte-ts", () => {
  // A house with a set-up and a command line that tell what they were given.
  function house(t) {
    const root = folder(t);
    mkdirSync(join(root, "scripts"));
    mkdirSync(join(root, "user-plane/cli"), { recursive: true });
    writeFileSync(join(root, "flyte-ts"), readFileSync(join(ROOT, "flyte-ts")), { mode: 0o755 });
    const note = `import { appendFileSync } from "node:fs"; appendFileSync(${JSON.stringify(join(root, "setups"))}, process.argv.slice(2).join(" ") + "\\n");`;
    writeFileSync(
      join(root, "scripts/setup.mjs"),
      `${note} if (process.env.BREAK) process.exit(3); console.log(process.execPath);`,
    );
    writeFileSync(
      join(root, "user-plane/cli/main.ts"),
      'process.on("SIGTERM", () => process.exit(7)); console.log(JSON.stringify({ pid: process.pid, args: process.argv.slice(2) })); if (process.argv.includes("wait")) setInterval(() => {}, 1000);',
    );
    return root;
  }

  test("becomes the command line: same pid, so signals reach it, and its exit code is ours", async (t) => {
    const child = spawn(join(house(t), "flyte-ts"), ["wait", "two words", "*", ""], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [line] = await once(child.stdout, "data");
    assert.deepEqual(JSON.parse(line), { pid: child.pid, args: ["wait", "two words", "*", ""] });
    child.kill("SIGTERM");
    assert.deepEqual(await once(child, "exit"), [7, null]);
  });

  test("asks for Python only where it is needed", (t) => {
    const root = house(t);
    const asked = [
      ["up"],
      ["up", "--json"],
      ["up", "--python", "/p"],
      ["up", "--python=/p"],
      ["up", "--help"],
      ["version"],
      [],
    ];
    for (const args of asked) spawnSync(join(root, "flyte-ts"), args);
    const [a, b, ...rest] = readFileSync(join(root, "setups"), "utf8").trimEnd().split("\n");
    assert.deepEqual([a, b], ["--python --print-node", "--python --print-node"]);
    assert.deepEqual(new Set(rest), new Set(["--print-node"]));
    assert.equal(rest.length, 5);
  });

  test("ends with the exit code of a set-up that failed, and says when there is no node", (t) => {
    const root = house(t);
    assert.equal(spawnSync(join(root, "flyte-ts"), ["up"], { env: { ...process.env, BREAK: "1" } }).status, 3);
    const bare = spawnSync("/bin/sh", [join(root, "flyte-ts"), "up"], { env: { PATH: folder(t) }, encoding: "utf8" });
    assert.equal(bare.status, 1);
    assert.match(bare.stderr, /no node found on PATH\n {2}next: install Node/);
  });
});
