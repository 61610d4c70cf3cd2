// Child processes of the set-up: run quietly, keep the output for the case of failure.

import { spawn } from "node:child_process";
import { basename } from "node:path";

/**
 * Runs a command to its end and returns what it printed; never throws because of the exit code.
 * @param {string} command @param {string[]} args
 * @param {{ cwd?: string, env?: NodeJS.ProcessEnv }} [options]
 * @returns {Promise<{ code: number, stdout: string, output: string }>} code 127 when the command does not exist
 */
export function capture(command, args, { cwd, env = process.env } = {}) {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd, env, stdio: ["ignore", "pipe", "pipe"] });
    let stdout = "";
    let output = "";
    child.stdout.on("data", (chunk) => {
      stdout += chunk;
      output += chunk;
    });
    child.stderr.on("data", (chunk) => {
      output += chunk;
    });
    child.on("error", (error) => resolve({ code: 127, stdout, output: String(error) }));
    child.on("close", (code) => resolve({ code: code ?? 1, stdout, output }));
  });
}

/** The npm that called us, run by the Node that runs it; else the one on PATH. @returns {[string, string[]]} */
export function npmCommand(env = process.env) {
  const caller = env.npm_execpath;
  return caller && /^npm(-cli)?\.[cm]?js$/.test(basename(caller)) ? [process.execPath, [caller]] : ["npm", []];
}

/**
 * Runs npm in a folder. What the calling npm put into the environment about *its* folder and workspace must not lead
 * this one astray; registry, cache, proxy and certificates are kept.
 * @param {string} folder @param {string[]} args
 */
export function npm(folder, args) {
  const env = { ...process.env };
  for (const name of Object.keys(env)) {
    if (/^npm_config_(prefix|local_prefix|workspaces?|include_workspace_root|omit|global|dry_run|json)$/i.test(name)) {
      delete env[name];
    }
  }
  const [command, head] = npmCommand();
  const quiet = ["--no-audit", "--no-fund", "--loglevel=error", "--ignore-scripts"];
  return capture(command, [...head, ...args, ...quiet], { cwd: folder, env });
}

/** The line of a tool's output that most likely names the cause. @param {string} output */
export function causeIn(output) {
  const lines = output
    .split("\n")
    .map((line) => line.trim())
    .filter(
      (line) =>
        line !== "" &&
        !/A complete log of this run|npm (error|ERR!) (code|syscall|errno|path|dest|type|address|port) /.test(line),
    );
  const named = lines.filter((line) => /error|denied|not found|no space|unable|cannot/i.test(line));
  return (named.at(0) ?? lines.at(-1) ?? "no output").replace(/^(npm (error|ERR!)\s*|ERROR:\s*)+/i, "").slice(0, 300);
}
