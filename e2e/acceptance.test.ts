/**
 * The acceptance cases on this machine: tasks are processes of the server. FLYTE_TS_ACCEPTANCE_ONLY names other cases
 * (globs, comma separated) than those that must pass.
 */
import { test } from "node:test";
import { acceptanceCases, needsAcceptance, sections } from "./support/acceptance.ts";
import { startServer } from "./support/server.ts";

test("acceptance cases", needsAcceptance, async (t) => {
  const only = process.env.FLYTE_TS_ACCEPTANCE_ONLY?.split(",") ?? Object.values(sections).flat();
  await acceptanceCases(t, { server: await startServer(t), only, args: ["--jobs", "3"] });
});
