/** The Python with the Flyte SDK that tests run real tasks with: `FLYTE_TS_PYTHON`, or the project's own `.venv`. */
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const projectVenv = fileURLToPath(new URL("../../../../.venv/bin/python", import.meta.url));

/** Undefined where there is none; then `whyNoPython` says what is missing. */
export function testPython(): string | undefined {
  const python = process.env.FLYTE_TS_PYTHON ?? projectVenv;
  return existsSync(join(dirname(python), "a0")) ? python : undefined;
}

/** Reason for a skip; in CI a missing prerequisite is a failure. */
export function whyNoPython(): string | false {
  if (testPython()) return false;
  const reason = "no Python with the Flyte SDK: run the set-up, or set FLYTE_TS_PYTHON to one";
  if (process.env.CI === "true") throw new Error(reason);
  return reason;
}
