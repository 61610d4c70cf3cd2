// The image as an archive, made once of the same content: scripts/kube/mkimage.sh packs what the Dockerfile copies.

import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, statSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { capture, causeIn } from "../setup/child.mjs";
import { hashOf } from "../setup/stamp.mjs";
import { SetupError } from "../setup/tell.mjs";
import { sourcesOf } from "./file-system.mjs";
import { ENTRYPOINT, ENVIRONMENT, USER, WORKDIR, WORKSPACES } from "./parts.mjs";

/** An archive has some 200 MB. */
const KEPT = 3;

/** @returns {Promise<{ ref: string, archive: string }>} */
export async function cachedArchive({ root, node, tell, build }) {
  const hash = contentHash(root, node).slice(0, 20);
  // A name that no registry answers to.
  const ref = `localhost/flyte-ts:${hash}`;
  const folder = join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "flyte-ts/images");
  const archive = join(folder, `${hash}.tar`);
  if (existsSync(archive)) return { ref, archive };
  mkdirSync(folder, { recursive: true });
  const work = mkdtempSync(join(tmpdir(), "flyte-ts-image-"));
  try {
    const files = join(work, "rootfs");
    await build(files);
    const draft = join(work, "image.tar");
    await tell.step("image archive", () => pack(root, { ref, files, archive: draft }));
    copyFileSync(draft, `${archive}.${process.pid}`);
    renameSync(`${archive}.${process.pid}`, archive);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  forgetOld(folder);
  return { ref, archive };
}

async function pack(root, { ref, files, archive }) {
  const environment = Object.entries(ENVIRONMENT).flatMap(([name, value]) => ["-e", `${name}=${value}`]);
  const args = ["-t", ref, "-o", archive, "-r", files, "-u", USER, "-w", WORKDIR, ...environment, "--", ...ENTRYPOINT];
  const { code, output } = await capture(join(root, "scripts/kube/mkimage.sh"), args);
  if (code !== 0) throw new SetupError(`mkimage.sh failed: ${causeIn(output)}`, "see above what it needs", output);
}

function contentHash(root, node) {
  const makers = ["image.mjs", "image/parts.mjs", "image/programs.mjs", "image/file-system.mjs", "kube/mkimage.sh"];
  const files = [
    "package-lock.json",
    ...makers.map((name) => `scripts/${name}`),
    ...WORKSPACES.flatMap((workspace) => sourcesOf(root, workspace)),
  ];
  const named = files.flatMap((file) => [file, { file: join(root, file) }]);
  return hashOf([node, process.arch, ...named]);
}

function forgetOld(folder) {
  const age = (name) => statSync(join(folder, name)).mtimeMs;
  const archives = readdirSync(folder).filter((name) => /^[0-9a-f]{20}\.tar$/.test(name));
  archives.sort((a, b) => age(b) - age(a));
  for (const name of archives.slice(KEPT)) rmSync(join(folder, name), { force: true });
}
