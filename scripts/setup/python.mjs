// The Python of tasks and tests: a virtual environment in .venv with pinned packages.

import { existsSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { capture, causeIn } from "./child.mjs";
import { hashOf, isStamped, stamp } from "./stamp.mjs";
import { SetupError } from "./tell.mjs";

const NAMES = ["python3", "python3.13", "python3.12", "python3.14", "python3.11", "python3.10", "python"];
const INSTALL = "install Python 3.10 or newer (Debian: apt install python3 python3-venv), or set PYTHON to its path";

/**
 * @param {string} root
 * @param {boolean} tests also what only our tests need
 */
export function pythonStep(root, tests) {
  const venv = join(root, ".venv");
  const python = join(venv, "bin/python");
  const runtime = part(venv, ".flyte-ts", [join(root, "scripts/python/requirements.txt")]);
  const all = part(venv, ".flyte-ts-test", [...runtime.files, join(root, "scripts/python/requirements-test.txt")]);
  const wanted = tests ? all : runtime;
  return {
    isDone: () => existsSync(python) && isStamped(wanted.stampFile, wanted.hash),
    async run(tell) {
      if (!(await isUsable(venv, python))) {
        const base = await findPython();
        await tell.step(`Python environment .venv (${base.path} ${base.version})`, () => makeVenv(base.path, venv));
      }
      const names = wanted.files.map((file) => basename(file)).join(", ");
      const title = `Python packages (${names}; some minutes the first time)`;
      await tell.step(title, () => install(python, wanted.files));
      for (const { stampFile, hash } of tests ? [runtime, all] : [runtime]) stamp(stampFile, hash);
    },
  };
}

/** A set of requirement files with its stamp. Scripts of a venv hold its absolute path: a moved checkout needs a new one. */
function part(venv, name, files) {
  return { files, stampFile: join(venv, name), hash: hashOf([venv, ...files.map((file) => ({ file }))]) };
}

/**
 * The first Python that is new enough: $PYTHON alone if set, else the usual names.
 * @param {{ env?: NodeJS.ProcessEnv, names?: string[] }} [options]
 */
export async function findPython({ env = process.env, names = NAMES } = {}) {
  const seen = [];
  for (const name of env.PYTHON ? [env.PYTHON] : names) {
    const code = "import sys; print('%d.%d.%d' % sys.version_info[:3]); print(sys.executable)";
    const result = await capture(name, ["-c", code], { env });
    const [version = "", path = name] = result.stdout.trim().split("\n");
    const [major = 0, minor = 0] = version.split(".").map(Number);
    if (result.code === 0 && major === 3 && minor >= 10) return { path, version };
    if (result.code === 0) seen.push(`${name} is ${version}`);
  }
  if (env.PYTHON && seen.length === 0) throw new SetupError(`PYTHON=${env.PYTHON} cannot be run`, INSTALL);
  throw new SetupError(seen.length > 0 ? `no Python ≥ 3.10 found (${seen.join(", ")})` : "no Python found", INSTALL);
}

async function isUsable(venv, python) {
  if (!existsSync(python)) return false;
  const result = await capture(python, ["-c", "import sys, pip; print(sys.prefix, sys.version_info >= (3, 10))"]);
  return result.stdout.trim() === `${venv} True`;
}

async function makeVenv(base, venv) {
  rmSync(venv, { recursive: true, force: true });
  const result = await capture(base, ["-m", "venv", venv]);
  if (result.code === 0) return;
  rmSync(venv, { recursive: true, force: true });
  const missing = /ensurepip|No module named venv/.test(result.output);
  throw new SetupError(
    missing ? `${base} has no venv module` : `cannot make a Python environment with ${base}: ${causeIn(result.output)}`,
    missing ? "install it (Debian and Ubuntu: apt install python3-venv), or set PYTHON to another Python" : INSTALL,
    result.output,
  );
}

async function install(python, requirements) {
  const files = requirements.flatMap((file) => ["-r", file]);
  // The files pin everything, so there is nothing to resolve; `pip check` says whether they really do. Modules are
  // compiled when they are first imported. Together this halves the time.
  const fast = ["--no-deps", "--no-compile"];
  const quiet = ["--quiet", "--no-input", "--disable-pip-version-check", "--no-warn-script-location"];
  const result = await capture(python, ["-m", "pip", "install", ...quiet, ...fast, ...files]);
  if (result.code === 0) {
    const check = await capture(python, ["-m", "pip", "check", "--disable-pip-version-check"]);
    if (check.code === 0) return;
    throw new SetupError(
      `the pinned Python packages do not fit together: ${causeIn(check.output)}`,
      "pin them again with scripts/python/resolve.py",
      check.output,
    );
  }
  throw new SetupError(
    `pip install failed: ${causeIn(result.output)}`,
    "check the network and the Python package index, then run this again",
    result.output,
  );
}
