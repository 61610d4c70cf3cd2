// The Node that runs flyte-ts: the installed one when it is new enough, else the pinned one from the npm registry,
// kept in the user's cache so that the next clone has it at once.

import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { capture, causeIn, npm } from "./child.mjs";
import { SetupError } from "./tell.mjs";

const NEEDS = "flyte-ts needs Node 22.18 or newer of an even-numbered line";

/** Can this version run TypeScript from source and all our tools (odd lines are short-lived; the tools skip them)? */
export function isNewEnough(version = process.versions.node) {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  return major % 2 === 0 && (major > 22 || (major === 22 && minor >= 18));
}

/** The pinned package of this platform, from the lock file that holds its integrity. */
export function pinnedNode(root, platform = process.platform, arch = process.arch) {
  const lock = JSON.parse(readFileSync(join(root, "scripts/node/package-lock.json"), "utf8"));
  for (const [path, entry] of Object.entries(lock.packages)) {
    if (entry.os === platform && entry.cpu === arch) return { name: path.slice("node_modules/".length), entry };
  }
  const hint =
    platform === "win32" ? "Windows is not supported; use WSL 2" : `there is no pinned Node for ${platform}-${arch}`;
  throw new SetupError(
    `${NEEDS}, this is ${process.versions.node}; ${hint}`,
    "install Node 24 (https://nodejs.org) and run this again",
  );
}

/** The right Node if it is there already, else undefined. */
export function findNode(root) {
  return isNewEnough() ? process.execPath : findPinnedNode(root);
}

/** The pinned Node if it is there already, else undefined. */
export function findPinnedNode(root) {
  const { name, entry } = pinnedNode(root);
  const node = join(root, ".tools", `node-${entry.version}`, "node_modules", name, "bin/node");
  return existsSync(node) ? node : undefined;
}

/** Brings the pinned Node. @returns {Promise<string>} its path */
export async function bringNode(root, tell) {
  const { name, entry } = pinnedNode(root);
  const folder = `node-${entry.version}`;
  const here = join(root, ".tools", folder);
  mkdirSync(join(root, ".tools"), { recursive: true });
  rmSync(here, { recursive: true, force: true });
  const cached = cacheFolder();
  const node = join("node_modules", name, "bin/node");
  if (cached !== undefined) {
    const shared = join(cached, `${folder}-${process.platform}-${process.arch}`);
    if (!existsSync(join(shared, node))) await install(tell, shared, { name, entry });
    symlinkSync(shared, here, "dir");
  } else {
    await install(tell, here, { name, entry });
  }
  return join(here, node);
}

/** Where the shared copy lives, or undefined when that place cannot be written. */
function cacheFolder() {
  const folder = join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "flyte-ts");
  try {
    mkdirSync(folder, { recursive: true });
    rmSync(mkdtempSync(join(folder, "try-")), { recursive: true });
    return folder;
  } catch {
    return undefined;
  }
}

// Installed beside its place and then renamed, so that a half-made copy is never taken for a whole one.
async function install(tell, target, { name, entry }) {
  const title = `Node ${entry.version} from the npm registry (installed: ${process.versions.node}, too old; can take a minute)`;
  await tell.step(title, async () => {
    const folder = mkdtempSync(`${target}-`);
    try {
      const { optional: _, ...pin } = entry;
      const wants = { name: "flyte-ts-node", private: true, dependencies: { [name]: entry.version } };
      const packages = { "": wants, [`node_modules/${name}`]: pin };
      writeFileSync(join(folder, "package.json"), JSON.stringify(wants));
      writeFileSync(
        join(folder, "package-lock.json"),
        JSON.stringify({ lockfileVersion: 3, requires: true, packages }),
      );
      const result = await npm(folder, ["ci"]);
      if (result.code !== 0) {
        throw new SetupError(
          `cannot bring ${name} ${entry.version}: ${causeIn(result.output)}`,
          "check the network and the npm registry, or install Node 24 yourself, then run this again",
          result.output,
        );
      }
      const probe = await capture(join(folder, "node_modules", name, "bin/node"), ["-p", "process.versions.node"]);
      if (probe.stdout.trim() !== entry.version) {
        throw new SetupError(
          `the prebuilt Node ${entry.version} does not run on this system: ${causeIn(probe.output)}`,
          "install Node 24 from your distribution and run this again",
          probe.output,
        );
      }
      moveInto(folder, target);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
}

/** Renames, unless another clone was faster with the same pinned content. */
function moveInto(folder, target) {
  try {
    renameSync(folder, target);
  } catch (error) {
    if (error.code !== "ENOTEMPTY" && error.code !== "EEXIST") throw error;
  }
}
