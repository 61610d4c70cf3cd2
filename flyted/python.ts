/** The Python that runs Python tasks: it must have the SDK's `a0` beside it. */
import { access, constants, realpath } from "node:fs/promises";
import { dirname, isAbsolute, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

export class PythonMissingError extends Error {}

/** Resolves the path given by the user, or our own `.venv`. */
export async function findPython(given: string | undefined): Promise<string> {
  const path = given ? resolve(given) : fileURLToPath(new URL("../.venv/bin/python", import.meta.url));
  if (!(await isExecutable(path))) {
    const next = given
      ? "give --python the interpreter of a virtual environment with the flyte package"
      : "run `npm run setup -- --python`, or give --python a virtual environment with the flyte package";
    throw new PythonMissingError(`there is no Python at ${path}; ${next}`);
  }
  if (!(await isExecutable(join(dirname(path), "a0")))) {
    const real = isAbsolute(path) ? await realpath(path) : path;
    throw new PythonMissingError(
      `the Python at ${path} (${real}) has no flyte package: ${join(dirname(path), "a0")} is missing; run \`${path} -m pip install flyte\``,
    );
  }
  return path;
}

async function isExecutable(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
