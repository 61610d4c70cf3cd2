// Programs in a file system of their own: the file, and the shared libraries that it is linked with, at the same places.

import { chmodSync, copyFileSync, existsSync, mkdirSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import { capture, causeIn } from "../setup/child.mjs";
import { SetupError } from "../setup/tell.mjs";

/**
 * @param {string} root of the new file system
 * @param {{ from: string, to: string }} program
 */
export async function addProgram(root, { from, to }) {
  put(from, join(root, to));
  for (const library of await librariesOf(from)) {
    const target = join(root, library);
    if (!existsSync(target)) put(library, target);
  }
}

function put(from, to) {
  mkdirSync(dirname(to), { recursive: true });
  copyFileSync(realpathSync(from), to);
  chmodSync(to, 0o755);
}

/** The loader is among them. @param {string} file */
async function librariesOf(file) {
  const { code, stdout, output } = await capture("ldd", [file]);
  if (code !== 0) {
    throw new SetupError(
      `ldd does not say what ${file} needs: ${causeIn(output)}`,
      "build the image on Linux with glibc (Debian: libc-bin)",
      output,
    );
  }
  const lost = /^\s*(\S+) => not found/m.exec(stdout);
  if (lost)
    throw new SetupError(`${file} needs ${lost[1]}, which is not here`, "install it and run this again", output);
  return [...new Set([...stdout.matchAll(/(\/\S+)(?= \(0x)/g)].map(([, path]) => path))].sort();
}
