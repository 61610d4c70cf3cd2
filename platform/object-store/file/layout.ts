/**
 * The folder behind a file store, and the guard at its door: every path handed out lies below the folder, also after
 * symbolic links are resolved.
 *
 * ```
 * <folder>/buckets/<bucket>/…       objects, see key-path.ts and trailer.ts
 * <folder>/uploads/<id>/…           multipart uploads in progress, kept over restarts
 * <folder>/tmp/<pid>-<start>-…/…    files being written by one process; swept when that process is gone
 * ```
 */
import { randomBytes } from "node:crypto";
import { mkdir, readdir, realpath, rm, rmdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { InvalidKeyError, StoreFullError, StoreUnavailableError } from "../errors.ts";
import { parseObjectUri, parsePrefixUri } from "../uri.ts";
import { keyToPath } from "./key-path.ts";

export interface Layout {
  readonly folder: string;
  readonly buckets: ReadonlySet<string>;
  readonly uploads: string;
  /** A new name for a file being written, in the objects' file system. */
  temp(): string;
  /** The absolute path of an object of ours; refuses every other address. */
  objectPath(uri: string): string;
  bucketPath(uri: string): string;
  /** Refuses when a directory on the way to `path` is a symbolic link; missing directories are fine. */
  guard(uri: string, path: string): Promise<void>;
  /** Makes the directories for `path`, through no symbolic link. */
  makeParents(uri: string, path: string): Promise<void>;
  /** Removes directories that became empty, upwards to the bucket. */
  prune(path: string): Promise<void>;
  close(): Promise<void>;
}

/** Makes or opens the folder, and sweeps what crashed processes left half-written. */
export async function openLayout(folder: string, bucketNames: readonly string[]): Promise<Layout> {
  const buckets = new Set(bucketNames);
  for (const bucket of buckets) parsePrefixUri(`s3://${bucket}`);
  const where = `file://${folder}`;
  const wrap = (error: unknown): never => {
    throw toStoreError(error, where, folder);
  };
  await mkdir(folder, { recursive: true, mode: 0o700 }).catch(wrap);
  const root = await realpath(folder).catch(wrap);
  const own = join(root, "tmp", `${ownProcess()}-${randomBytes(6).toString("hex")}`);
  const uploads = join(root, "uploads");
  const make = async () => {
    for (const bucket of buckets) await mkdir(join(root, "buckets", bucket), { recursive: true });
    await mkdir(uploads, { recursive: true });
    await mkdir(own, { recursive: true });
    for (const directory of [uploads, own, ...[...buckets].map((bucket) => join(root, "buckets", bucket))]) {
      if ((await realpath(directory)) !== directory) throw linkError(where, directory);
    }
    await sweep(join(root, "tmp"));
  };
  await make().catch(wrap);

  let temps = 0;
  const guard = async (uri: string, path: string) => {
    let directory = dirname(path);
    for (;;) {
      try {
        if ((await realpath(directory)) !== directory) throw linkError(uri, directory);
        return;
      } catch (error) {
        if (errorCode(error) !== "ENOENT" || directory.length <= root.length) throw error;
        directory = dirname(directory);
      }
    }
  };
  const bucketPath = (uri: string) => {
    const { bucket } = parsePrefixUri(uri);
    if (buckets.has(bucket)) return join(root, "buckets", bucket);
    throw new InvalidKeyError(uri, `this store holds no bucket ${bucket}, only ${[...buckets].join(", ")}`);
  };
  return {
    folder: root,
    buckets,
    uploads,
    temp: () => join(own, String(++temps)),
    bucketPath,
    objectPath: (uri) => join(bucketPath(uri), keyToPath(parseObjectUri(uri).key)),
    guard,
    async makeParents(uri, path) {
      await guard(uri, path);
      await mkdir(dirname(path), { recursive: true });
      await guard(uri, path);
    },
    async prune(path) {
      for (let at = dirname(path); !buckets.has(at.slice(join(root, "buckets").length + 1)); at = dirname(at)) {
        try {
          await rmdir(at);
        } catch (error) {
          // Not empty, or somebody else was faster: either way there is nothing above to remove.
          if (errorCode(error) !== "ENOENT") return;
        }
      }
    },
    async close() {
      await rm(own, { recursive: true, force: true });
    },
  };
}

/** The system error's code, e.g. `ENOENT`. */
export function errorCode(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}

/** System errors as the port's errors; ours pass unchanged, and so do errors that are not the system's. */
export function toStoreError(error: unknown, uri: string, folder: string): unknown {
  const options = { cause: error };
  switch (errorCode(error)) {
    case "ENOSPC":
    case "EDQUOT":
      return new StoreFullError(uri, folder, options);
    case "ENAMETOOLONG":
      return new InvalidKeyError(uri, "the key is too long for the file system below this folder", options);
    case "ELOOP":
      return linkError(uri, "its file");
    // A missing object is noticed where it is read; what is missing here is the store's own folder.
    case "ENOENT":
    case "ENOTDIR":
    case "EISDIR":
    case "EACCES":
    case "EPERM":
    case "EROFS":
    case "EIO":
    case "EMFILE":
    case "ENFILE":
    case "EEXIST":
    case "EXDEV":
    case "EBUSY":
    case "ESTALE": {
      const reason = `${(error as Error).message}; check the folder ${folder} and its permissions`;
      return new StoreUnavailableError(uri, reason, options);
    }
    default:
      return error;
  }
}

function linkError(uri: string, path: string): StoreUnavailableError {
  return new StoreUnavailableError(
    uri,
    `${path} is a symbolic link, which is never followed: replace it by a directory`,
  );
}

/** Removes the temporary directories of processes that are gone. */
async function sweep(tmp: string): Promise<void> {
  for (const name of await readdir(tmp)) {
    const pid = Number.parseInt(name, 10);
    // In containers an earlier process often had our pid: the start time tells them apart.
    if (pid === process.pid ? name.startsWith(`${ownProcess()}-`) : isAlive(pid)) continue;
    await rm(join(tmp, name), { recursive: true, force: true });
  }
}

function ownProcess(): string {
  return `${process.pid}-${Math.round(performance.timeOrigin)}`;
}

function isAlive(pid: number): boolean {
  if (!(pid > 0)) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return errorCode(error) === "EPERM";
  }
}
