#!/usr/bin/env node
// Makes a fresh clone able to run: the right Node, the npm packages, the contract's bindings and, where it is needed,
// Python. Plain JavaScript without dependencies, for any Node ≥ 18. Doing it again does nothing, in a fraction of a second.

import { spawn } from "node:child_process";
import { delimiter, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { contractStep } from "./setup/contract.mjs";
import { withLock } from "./setup/lock.mjs";
import { bringNode, findNode } from "./setup/node.mjs";
import { packagesStep } from "./setup/packages.mjs";
import { pythonStep } from "./setup/python.mjs";
import { SetupError, teller } from "./setup/tell.mjs";

export const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));

const USAGE = `usage: node scripts/setup.mjs [options] [--run -- SCRIPT ARGS…]
  --python       also a Python environment (.venv) with the flyte SDK
  --test         also what only the tests need
  --print-node   print the path of the Node to use
  --run -- …     afterwards run a script of this repository with that Node
  --verbose      also say what was found to be done already, and show the output of a tool that failed
`;

/**
 * Sets up what is missing. Two set-ups at the same time wait for each other.
 * @param {{ root?: string, python?: boolean, test?: boolean, tell?: ReturnType<typeof teller> }} [options]
 * @returns {Promise<{ node: string, python: string }>} the Node to run flyte-ts with; where the Python is (with --python)
 */
export async function setup({ root = ROOT, python = false, test = false, tell = teller() } = {}) {
  const steps = {
    packages: packagesStep(root),
    contract: contractStep(root),
    ...(python || test ? { python: pythonStep(root, test) } : {}),
  };
  const open = () => Object.entries(steps).filter(([, step]) => !step.isDone());
  let node = findNode(root);
  if (node === undefined || open().length > 0) {
    node = await withLock(join(root, ".tools/setup.lock"), tell.line, async () => {
      const right = findNode(root) ?? (await bringNode(root, tell));
      // Asked one after the other: the bindings depend on the versions of the packages.
      for (const step of Object.values(steps)) if (!step.isDone()) await step.run(tell, right);
      return right;
    });
  } else {
    tell.detail(`nothing to do (${["node", ...Object.keys(steps)].join(", ")})`);
  }
  return { node, python: join(root, ".venv/bin/python") };
}

/** Runs a script with the Node chosen by `setup`, hands signals on and returns its exit code. */
export function runScript(node, script, args, { cwd = process.cwd(), env = process.env } = {}) {
  const path = `${dirname(node)}${delimiter}${env.PATH ?? ""}`;
  const child = spawn(node, [script, ...args], { cwd, env: { ...env, PATH: path }, stdio: "inherit" });
  const forward = (signal) => child.kill(signal);
  // The terminal sends SIGINT to the whole group already; a second one would mean "at once".
  const ignore = () => {};
  process
    .on("SIGTERM", forward)
    .on("SIGHUP", forward)
    .on("SIGINT", process.stdin.isTTY ? ignore : forward);
  return new Promise((done, fail) => {
    child.on("error", fail);
    child.on("close", (code, signal) => done(code ?? 128 + (signal === "SIGINT" ? 2 : 15)));
  });
}

/** The front door of every script: prints a SetupError as cause and next step, everything else as the bug it is. */
export async function orExplain(work, verbose = false) {
  try {
    process.exitCode = await work();
  } catch (error) {
    if (!(error instanceof SetupError)) throw error;
    process.stderr.write(`${verbose && error.details ? `${error.details}\n` : ""}setup: ${error.message}\n`);
    process.exitCode = 1;
  }
}

/** @param {string[]} argv */
async function main(argv) {
  const cut = argv.indexOf("--");
  const flags = new Set(cut === -1 ? argv : argv.slice(0, cut));
  const command = cut === -1 ? [] : argv.slice(cut + 1);
  const known = ["--python", "--test", "--print-node", "--run", "--verbose", "--help"];
  const unknown = [...flags].find((flag) => !known.includes(flag));
  if (unknown !== undefined || flags.has("--help") || flags.has("--run") !== command.length > 0) {
    (unknown === undefined && flags.has("--help") ? process.stdout : process.stderr).write(USAGE);
    return flags.has("--help") ? 0 : 2;
  }
  const tell = teller({ verbose: flags.has("--verbose") });
  const { node } = await setup({ python: flags.has("--python"), test: flags.has("--test"), tell });
  if (flags.has("--print-node")) process.stdout.write(`${node}\n`);
  const [script, ...args] = command;
  return script === undefined ? 0 : runScript(node, resolve(ROOT, script), args);
}

if (process.argv[1] && resolve(process.argv[1]) === fileURLToPath(import.meta.url)) {
  await orExplain(() => main(process.argv.slice(2)), process.argv.includes("--verbose"));
}
