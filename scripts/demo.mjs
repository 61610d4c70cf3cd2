#!/usr/bin/env node
// `npm run demo`: sets up what is missing, then runs a Python workflow on a server of its own. Works as the first
// command after a clone. Arguments are those of e2e/demo/main.ts.

import { join } from "node:path";
import { orExplain, ROOT, runScript, setup } from "./setup.mjs";

await orExplain(async () => {
  const { node, python } = await setup({ python: true });
  const env = { ...process.env, FLYTE_TS_PYTHON: python };
  return runScript(node, join(ROOT, "e2e/demo/main.ts"), process.argv.slice(2), { cwd: ROOT, env });
});
