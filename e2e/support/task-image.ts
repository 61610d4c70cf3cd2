/**
 * The image that the SDK names for tasks without one of their own (`ghcr.io/flyteorg/flyte:py3.X-v2.Y.Z`), made of the
 * Python and the packages that our tests use: no registry and no builder are needed. Made once, kept by its contents.
 */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { cp, mkdir, mkdtemp, readdir, readFile, realpath, rename, rm } from "node:fs/promises";
import { homedir, tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { python } from "./server.ts";

const run = promisify(execFile);
const contents = fileURLToPath(new URL("task_image.py", import.meta.url));
const mkimage = fileURLToPath(new URL("../../scripts/kube/mkimage.sh", import.meta.url));

export interface TaskImage {
  ref: string;
  archive: string;
}

export async function taskImage(): Promise<TaskImage> {
  const about: { prefix: string; certificates: string; minor: string; flyte: string; packages: string[] } = JSON.parse(
    (await run(python, [contents, "about"])).stdout,
  );
  const ref = `ghcr.io/flyteorg/flyte:py${about.minor}-v${about.flyte}`;
  const hash = createHash("sha256").update(JSON.stringify(about)).update(python);
  for (const recipe of [fileURLToPath(import.meta.url), contents, mkimage]) hash.update(await readFile(recipe));
  const folder = join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "flyte-ts/task-images");
  const archive = join(folder, `${hash.digest("hex").slice(0, 20)}.tar`);
  if (existsSync(archive)) return { ref, archive };
  await mkdir(folder, { recursive: true });
  const work = await mkdtemp(join(tmpdir(), "flyte-ts-task-image-"));
  try {
    await run(python, [contents, "copy", work]);
    // The SDK unpacks code with the programs; those of busybox do not know its archives.
    const programs = await Promise.all(["tar", "gzip"].map(pathOf));
    for (const path of programs) await cp(path, join(work, "usr/bin", basename(path)), { recursive: true });
    const venv = dirname(dirname(python));
    // The venv's links lead to either name.
    const interpreters = ["python3", `python${about.minor}`].map((word) => join(about.prefix, "bin", word));
    const needed = [...interpreters, ...(await libraries([...programs, ...(await modulesIn(work))], work))];
    const draft = join(folder, `.draft-${process.pid}.tar`);
    await run(mkimage, [
      ...["-t", ref, "-o", draft, "-b", "-r", work],
      ...needed.flatMap((path) => ["-p", path]),
      // The SDK's client wants some certificates even for plain HTTP.
      ...["-e", `SSL_CERT_FILE=${about.certificates}`],
      ...["-e", `PATH=${join(venv, "bin")}:/usr/local/bin:/usr/bin:/bin`],
    ]);
    await rename(draft, archive);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  return { ref, archive };
}

async function pathOf(program: string): Promise<string> {
  const { stdout } = await run("sh", ["-c", `command -v ${program}`]);
  return realpath(stdout.trim());
}

async function modulesIn(folder: string): Promise<string[]> {
  const files = await readdir(folder, { recursive: true });
  return files.filter((name) => /\.so(\.|$)/.test(name)).map((name) => join(folder, name));
}

/** Shared libraries of these files that are not in the folder already. */
async function libraries(files: readonly string[], folder: string): Promise<string[]> {
  const { stdout } = await run("ldd", files, { maxBuffer: 16 << 20 });
  const found = new Set([...stdout.matchAll(/(?:=> |^\s+)(\/\S+)/gm)].flatMap(([, path]) => path ?? []));
  return [...found].filter((path) => !path.startsWith(folder));
}
