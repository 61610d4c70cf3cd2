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
const mkimage = fileURLToPath(new URL("../../scripts/kube/mkimage.sh", import.meta.url));

export interface TaskImage {
  ref: string;
  archive: string;
}

/** What a task never imports, and what would come in by way of the venv instead. */
const left = new Set(["test", "site-packages", "idlelib", "tkinter", "turtledemo", "ensurepip"]);

export async function taskImage(): Promise<TaskImage> {
  const about: { prefix: string; certificates: string; minor: string; flyte: string; packages: string[] } = JSON.parse(
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
      // Compiled modules are of use only while their sources are as old as they were.
      preserveTimestamps: true,
      verbatimSymlinks: true,
      filter: (source) => !left.has(source.slice(source.lastIndexOf("/") + 1)),
    });
    // The SDK unpacks code with the programs; those of busybox do not know its archives.
    const programs = await Promise.all(["tar", "gzip"].map(pathOf));
    for (const path of programs) await cp(path, join(work, "usr/bin", basename(path)), { recursive: true });
    const venv = dirname(dirname(python));
    // The venv's links lead to either name.
    const interpreters = ["python3", name].map((word) => join(about.prefix, "bin", word));
    const draft = join(folder, `.draft-${process.pid}.tar`);
    await run(mkimage, [
      ...["-t", ref, "-o", draft, "-b", "-r", work, "-p", venv],
      ...[
        ...interpreters,
        ...(await libraries([...programs, ...(await modulesIn(join(library, "lib-dynload")))])),
      ].flatMap((path) => ["-p", path]),
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
  return (await readdir(folder)).filter((name) => name.endsWith(".so")).map((name) => join(folder, name));
}

/** Shared libraries of these files. */
async function libraries(files: readonly string[]): Promise<string[]> {
  const { stdout } = await run("ldd", files, { maxBuffer: 16 << 20 });
  return [...new Set([...stdout.matchAll(/(?:=> |^\s+)(\/\S+)/gm)].flatMap(([, path]) => path ?? []))];
}

const describe = `
import certifi, importlib.metadata as m, json, sys
print(json.dumps({
  "prefix": sys.base_prefix,
  "certificates": certifi.where(),
  "minor": f"{sys.version_info.major}.{sys.version_info.minor}",
  "flyte": m.version("flyte"),
  "packages": sorted(f"{d.name}=={d.version}" for d in m.distributions()),
}))
`;
