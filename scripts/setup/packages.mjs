// The npm packages of all workspaces: `npm ci` when what is installed is not what package-lock.json says.

import { existsSync } from "node:fs";
import { join } from "node:path";
import { causeIn, npm } from "./child.mjs";
import { hashOf, isStamped, readText, stamp } from "./stamp.mjs";
import { SetupError } from "./tell.mjs";

/** @param {string} root */
export function packagesStep(root) {
  const stampFile = join(root, "node_modules/.flyte-ts-setup");
  const hash = hashOf([{ file: join(root, "package-lock.json") }, `${process.platform} ${process.arch}`]);
  return {
    isDone: () => isStamped(stampFile, hash),
    async run(tell) {
      // Who works on the project runs `npm install` himself; wiping that to install the same again would only hurt.
      if (!isInstalled(root)) {
        await tell.step("npm packages (npm ci)", async () => {
          const result = await npm(root, ["ci", "--include=dev", "--include=optional"]);
          if (result.code !== 0) {
            throw new SetupError(
              `npm ci failed: ${causeIn(result.output)}`,
              "check the network and the npm registry (npm ping), then run this again",
              result.output,
            );
          }
        });
      }
      stamp(stampFile, hash);
    },
  };
}

/** Does npm's own record of node_modules agree with the lock file? @param {string} root */
export function isInstalled(root) {
  const recorded = readText(join(root, "node_modules/.package-lock.json"));
  if (recorded === undefined) return false;
  const has = JSON.parse(recorded).packages;
  const wants = JSON.parse(readText(join(root, "package-lock.json")) ?? "{}").packages;
  for (const [path, want] of Object.entries(wants)) {
    if (!path.includes("node_modules/")) continue;
    const got = has[path];
    if (got === undefined) {
      // Missing is right for what is made for another platform, and for what only such a package depends on.
      if (!(want.optional || want.devOptional)) return false;
      if ((want.os ?? want.cpu ?? want.libc) !== undefined && !isForOthers(want)) return false;
      continue;
    }
    if (got.version !== want.version || got.integrity !== want.integrity) return false;
    if (!existsSync(join(root, path))) return false;
  }
  return Object.keys(has).every((path) => path in wants);
}

/** Is this package made for another platform? (A package without the word is for all.) */
function isForOthers({ os, cpu, libc }) {
  process.report.excludeNetwork = true;
  const excludes = (list, mine) => list !== undefined && ![list].flat().includes(mine);
  const musl = process.platform === "linux" && !process.report.getReport().header.glibcVersionRuntime;
  return excludes(os, process.platform) || excludes(cpu, process.arch) || excludes(libc, musl ? "musl" : "glibc");
}
