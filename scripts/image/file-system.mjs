// The image's file system as a folder: Node with its libraries, the workspaces that a server runs from, their production
// packages, and the contract's bindings. There is no shell in it and nothing that a server could write to.

import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { causeIn, npm } from "../setup/child.mjs";
import { SetupError } from "../setup/tell.mjs";
import { isLeftOut, NEVER_READ, USER, WORKSPACES } from "./parts.mjs";
import { addProgram } from "./programs.mjs";

/**
 * Builds into an empty or new folder. `setup` must have been here: the contract's bindings are copied.
 * @param {{ root: string, out: string, node: string, tell: any }} options
 */
export async function buildFileSystem({ root, out, node, tell }) {
  if (existsSync(out) && readdirSync(out).length > 0) {
    throw new SetupError(
      `${out} is not empty`,
      "name a new folder; what an image holds must not depend on what was there",
    );
  }
  const app = join(out, "app");
  await tell.step("production packages (npm ci)", () => addPackages(root, app));
  addSources(root, app);
  await addProgram(out, { from: node, to: "usr/local/bin/node" });
  addSystem(out);
}

async function addPackages(root, app) {
  for (const file of ["package.json", "package-lock.json"]) copy(join(root, file), join(app, file));
  const { workspaces } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  for (const name of workspaces) copy(join(root, name, "package.json"), join(app, name, "package.json"));
  const wanted = WORKSPACES.flatMap((name) => ["--workspace", name]);
  // Optional are the programs of the embedded PostgreSQL, which servers in a cluster have no use for.
  const result = await npm(app, ["ci", "--prefer-offline", "--omit=dev", "--omit=optional", ...wanted]);
  if (result.code !== 0) {
    throw new SetupError(
      `npm ci failed: ${causeIn(result.output)}`,
      "check the network and the npm registry (npm ping), then run this again",
      result.output,
    );
  }
  for (const name of workspaces) if (!WORKSPACES.includes(name)) rmSync(join(app, name), { recursive: true });
  for (const name of ["", ...WORKSPACES]) prune(join(app, name, "node_modules"));
}

function prune(packages) {
  if (!existsSync(packages)) return;
  rmSync(join(packages, ".bin"), { recursive: true, force: true });
  rmSync(join(packages, ".package-lock.json"), { force: true });
  for (const file of filesBelow(packages)) {
    const path = file.slice(packages.length + 1);
    if (NEVER_READ.some((pattern) => pattern.test(path))) rmSync(file);
  }
}

function addSources(root, app) {
  for (const workspace of WORKSPACES)
    for (const file of sourcesOf(root, workspace)) copy(join(root, file), join(app, file));
  for (const file of ["LICENSE", "NOTICE"]) copy(join(root, file), join(app, file));
}

/** What the image takes of a workspace, as paths from the root. */
export function sourcesOf(root, workspace) {
  const files = filesBelow(join(root, workspace)).map((file) => file.slice(root.length + 1));
  return files.filter((file) => !isLeftOut(file.slice(workspace.length + 1)));
}

function addSystem(out) {
  const [uid = "", gid = ""] = USER.split(":");
  write(
    join(out, "etc/passwd"),
    `root:x:0:0:root:/:/sbin/nologin\nflyte:x:${uid}:${gid}:flyte:/home/flyte:/sbin/nologin\n`,
  );
  write(join(out, "etc/group"), `root:x:0:\nflyte:x:${gid}:\n`);
  write(join(out, "etc/nsswitch.conf"), "hosts: files dns\n");
  write(join(out, "usr/local/bin/flyte-ts"), '#!/usr/local/bin/node\nimport("/app/user-plane/cli/main.ts");\n', 0o755);
  mkdirSync(join(out, "home/flyte"), { recursive: true });
  mkdirSync(join(out, "tmp"));
  chmodSync(join(out, "tmp"), 0o1777);
}

/** Sorted. What links lead to is not looked at. */
function filesBelow(folder) {
  return readdirSync(folder, { withFileTypes: true })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .flatMap((entry) => {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) return filesBelow(path);
      return entry.isFile() ? [path] : [];
    });
}

function copy(from, to) {
  mkdirSync(dirname(to), { recursive: true });
  copyFileSync(from, to);
}

function write(file, text, mode = 0o644) {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text, { mode });
}
