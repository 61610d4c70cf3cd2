#!/usr/bin/env node

// `npm test`: one command that proves everything. Sets up what is missing, runs every stage even when an earlier one
// failed, and closes with the line "N passed, N failed". Works as the first command after a clone.

import { orExplain, ROOT, setup } from "./setup.mjs";
import { stages, stopSharedServers } from "./test/stages.mjs";

const KINDS = ["lint", "unit", "e2e"];
const USAGE = `usage: npm test -- [--only lint|unit|e2e] [FILE…]
  FILE   part of a test file's path; only such test files run, and no lint
`;

/** @param {string[]} argv */
async function main(argv) {
  const options = parse(argv);
  if (options === undefined) {
    process.stderr.write(USAGE);
    return 2;
  }
  const total = { passed: 0, failed: 0, skipped: 0 };
  const failedStages = [];
  try {
    const tools = await setup({ python: true, test: true });
    for (const stage of stages(ROOT, tools)) {
      if (!options.kinds.includes(stage.kind)) continue;
      const started = Date.now();
      process.stdout.write(`\n── ${stage.name} ──\n`);
      const counts = await stage.run(options.files);
      for (const key of Object.keys(total)) total[key] += counts[key];
      if (counts.failed > 0) failedStages.push(stage.name);
      process.stdout.write(
        `── ${counts.failed > 0 ? "FAILED" : "ok"}, ${((Date.now() - started) / 1000).toFixed(1)} s\n`,
      );
    }
    if (options.kinds.some((kind) => kind !== "lint")) await stopSharedServers(ROOT, tools);
  } catch (error) {
    total.failed += 1;
    failedStages.push("set-up");
    await orExplain(() => Promise.reject(error), true);
  }
  process.stdout.write(failedStages.length > 0 ? `\nfailed: ${failedStages.join("; ")}\n` : "\n");
  const skipped = total.skipped > 0 ? `, ${total.skipped} skipped` : "";
  process.stdout.write(`${total.passed} passed, ${total.failed} failed${skipped}\n`);
  return total.failed > 0 ? 1 : 0;
}

/** @returns {{ kinds: string[], files: string[] } | undefined} undefined when used wrongly */
function parse(argv) {
  let kinds;
  const files = [];
  for (let index = 0; index < argv.length; index++) {
    const word = argv[index];
    const only = word === "--only" ? argv[++index] : /^--only=(.*)$/.exec(word)?.[1];
    if (word.startsWith("--only")) {
      if (!KINDS.includes(only)) return undefined;
      kinds = [only];
    } else if (word.startsWith("-")) {
      return undefined;
    } else {
      files.push(word);
    }
  }
  return { kinds: kinds ?? (files.length > 0 ? ["unit", "e2e"] : KINDS), files };
}

process.exitCode = await main(process.argv.slice(2));
