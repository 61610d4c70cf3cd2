/**
 * The image that the SDK names for tasks without one of their own (`ghcr.io/flyteorg/flyte:py3.X-v2.Y.Z`), made of the
 * Python and the packages that our tests use: no registry and no builder are needed. Made once, kept by its contents.
 */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { cp, mkdir, mkdtemp, readdir, readFile, rename, rm } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { python } from "./server.ts";

const run = promisify(execFile);
const mkimage = fileURLToPath(new URL("../../scripts/kube/mkimage.sh", import.meta.url));

export interface TaskImage {
  ref: string;
  archive: string;
}

/** What a task never imports, and what would come in by way of the venv instead. */
const left = new Set(["test", "site-packages", "idlelib", "tkinter", "turtledemo", "ensurepip", "__pycache__"]);

export async function taskImage(): Promise<TaskImage> {
  const about: { prefix: string; minor: string; flyte: string; packages: string[] } = JSON.parse(
    (await run(python, ["-c", describe])).stdout,
  );
  const ref = `ghcr.io/flyteorg/flyte:py${about.minor}-v${about.flyte}`;
  const hash = createHash("sha256")
    .update(JSON.stringify(about))
    .update(python)
    .update(await readFile(mkimage));
  const folder = join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "flyte-ts/task-images");
  const archive = join(folder, `${hash.digest("hex").slice(0, 20)}.tar`);
  if (existsSync(archive)) return { ref, archive };
  await mkdir(folder, { recursive: true });
  const work = await mkdtemp(join(tmpdir(), "flyte-ts-task-image-"));
  try {
    const name = `python${about.minor}`;
    const library = join(about.prefix, "lib", name);
    await cp(library, join(work, library), {
      recursive: true,
      verbatimSymlinks: true,
      filter: (source) => !left.has(source.slice(source.lastIndexOf("/") + 1)),
    });
    const venv = dirname(dirname(python));
    const draft = join(folder, `.draft-${process.pid}.tar`);
    await run(mkimage, [
      ...["-t", ref, "-o", draft, "-b", "-r", work, "-p", venv, "-p", join(about.prefix, "bin", name)],
      ...(await libraries(join(library, "lib-dynload"))).flatMap((path) => ["-p", path]),
      ...["-e", `PATH=${join(venv, "bin")}:/usr/local/bin:/usr/bin:/bin`],
    ]);
    await rename(draft, archive);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return { ref, archive };
}

/** Shared libraries of the modules in this folder. */
async function libraries(folder: string): Promise<string[]> {
  const modules = (await readdir(folder)).filter((name) => name.endsWith(".so")).map((name) => join(folder, name));
  const { stdout } = await run("ldd", modules, { maxBuffer: 16 << 20 });
  return [...new Set([...stdout.matchAll(/=> (\/\S+)/g)].flatMap(([, path]) => path ?? []))];
}

const describe = `
import importlib.metadata as m, json, sys
print(json.dumps({
  "prefix": sys.base_prefix,
  "minor": f"{sys.version_info.major}.{sys.version_info.minor}",
  "flyte": m.version("flyte"),
  "packages": sorted(f"{d.name}=={d.version}" for d in m.distributions()),
}))
`;
