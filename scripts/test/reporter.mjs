// How our tests are told: one line a file, a failed test in full with what its file printed, skips with their reason.
// The exact counts go to the file FLYTE_TS_TEST_COUNTS, for the closing line of `npm test`.

import { writeFileSync } from "node:fs";
import { relative } from "node:path";
import { inspect } from "node:util";

/** @param {AsyncIterable<{ type: string, data: any }>} events */
export default async function* report(events) {
  const printed = new Map();
  const broken = new Set();
  const skips = [];
  let counts;
  for await (const { type, data } of events) {
    const file = data?.file === undefined ? undefined : relative(process.cwd(), data.file);
    if (type === "test:stdout" || type === "test:stderr") {
      printed.set(file, `${printed.get(file) ?? ""}${data.message}`.slice(-20_000));
    } else if (type === "test:fail" && isOwnFault(data)) {
      broken.add(file);
      yield `✖ ${file}:${data.line} ${data.name}\n${indent(explain(data.details.error))}\n`;
    } else if (type === "test:pass" && data.skip !== undefined && data.skip !== false) {
      skips.push(
        `- skipped ${file}:${data.line} ${data.name}${typeof data.skip === "string" ? `: ${data.skip}` : ""}\n`,
      );
    } else if (type === "test:summary" && file !== undefined) {
      yield fileLine(file, data);
      yield* skips.splice(0);
      if (data.success === false && printed.has(file)) yield printedBy(file, printed.get(file));
      printed.delete(file);
    } else if (type === "test:summary") {
      counts = data.counts;
    }
  }
  yield* skips;
  // A file that broke before its first test has no summary of its own; the cause is in what it printed.
  for (const file of broken) if (printed.has(file)) yield printedBy(file, printed.get(file));
  if (process.env.FLYTE_TS_TEST_COUNTS !== undefined && counts !== undefined) {
    const { passed, failed, cancelled, skipped, todo } = counts;
    const sums = { passed, failed: failed + cancelled, skipped: skipped + todo };
    writeFileSync(process.env.FLYTE_TS_TEST_COUNTS, JSON.stringify(sums));
  }
}

// A parent fails because a child did; only the child has something to say.
function isOwnFault({ details }) {
  return details?.error?.failureType !== "subtestsFailed";
}

function fileLine(file, { success, counts, duration_ms: ms }) {
  const parts = [`${counts.passed} passed`];
  if (counts.failed + counts.cancelled > 0) parts.push(`${counts.failed + counts.cancelled} failed`);
  if (counts.skipped + counts.todo > 0) parts.push(`${counts.skipped + counts.todo} skipped`);
  return `${success ? "✔" : "✖"} ${file} (${parts.join(", ")}, ${(ms / 1000).toFixed(1)} s)\n`;
}

function printedBy(file, text) {
  return `${indent(`printed by ${file}:\n${text}`)}\n`;
}

function explain(error) {
  const cause = error?.code === "ERR_TEST_FAILURE" && error.cause !== undefined ? error.cause : error;
  return typeof cause === "string" ? cause : inspect(cause, { depth: 4 });
}

function indent(text) {
  return text.replace(/^/gm, "    ");
}
