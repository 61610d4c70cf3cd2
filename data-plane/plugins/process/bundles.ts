/**
 * Code bundles, downloaded and unpacked once: each attempt gets a copy in its working directory and the marker by which
 * the SDK knows that nothing is left to do.
 *
 * Only ever a shortcut: on any trouble the working directory is left without marker and the task fetches the bundle itself.
 */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { constants, createWriteStream } from "node:fs";
import { cp, mkdir, mkdtemp, readdir, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { join, normalize } from "node:path";
import { pipeline } from "node:stream/promises";
import { promisify } from "node:util";
import type { ObjectStore } from "@flyte-ts/platform/object-store";

export interface BundleCacheOptions {
  folder: string;
  objectStore: Pick<ObjectStore, "head" | "stream">;
  /** Bundles kept unpacked; those unused for longest go first. */
  keep?: number;
}

export interface BundleCache {
  /** Unpacks the bundle that the command line names into `work`. False when it names none. Throws when it cannot. */
  place(argv: readonly string[], work: string): Promise<boolean>;
}

export function bundleCache(options: BundleCacheOptions): BundleCache {
  const keep = options.keep ?? 32;
  const unpacking = new Map<string, Promise<string>>();

  async function unpacked(uri: string): Promise<string> {
    // By content too: a bundle that was written anew under its old name is another one.
    const etag = (await options.objectStore.head(uri))?.etag ?? "";
    const name = createHash("sha256").update(`${uri} ${etag}`).digest("hex").slice(0, 32);
    const folder = join(options.folder, name);
    if (await stat(folder).catch(() => undefined)) {
      const now = new Date();
      await utimes(folder, now, now);
      return folder;
    }
    let begun = unpacking.get(name);
    if (!begun) {
      begun = unpack(uri, folder).finally(() => unpacking.delete(name));
      unpacking.set(name, begun);
    }
    return begun;
  }

  async function unpack(uri: string, folder: string): Promise<string> {
    await mkdir(options.folder, { recursive: true });
    const draft = await mkdtemp(join(options.folder, ".new-"));
    try {
      const archive = join(draft, "bundle.tar.gz");
      const content = join(draft, "content");
      await mkdir(content);
      await pipeline((await options.objectStore.stream(uri)).body, createWriteStream(archive));
      await promisify(execFile)("tar", ["-xzf", archive, "-C", content]);
      await rename(content, folder);
    } finally {
      await rm(draft, { recursive: true, force: true });
    }
    await evict();
    return folder;
  }

  async function evict(): Promise<void> {
    const names = (await readdir(options.folder)).filter((name) => !name.startsWith("."));
    if (names.length <= keep) return;
    const aged = await Promise.all(
      names.map(async (name) => ({ name, used: (await stat(join(options.folder, name))).mtimeMs })),
    );
    aged.sort((a, b) => a.used - b.used);
    for (const { name } of aged.slice(0, names.length - keep)) {
      await rm(join(options.folder, name), { recursive: true, force: true });
    }
  }

  return {
    async place(argv, work) {
      const bundle = namedBundle(argv);
      if (!bundle) return false;
      const folder = await unpacked(bundle.uri);
      const target = join(work, bundle.destination);
      // Copies, not hard links: a task may change its files.
      await cp(folder, target, {
        recursive: true,
        mode: constants.COPYFILE_FICLONE,
        preserveTimestamps: true,
        verbatimSymlinks: true,
      });
      await writeFile(join(target, `.${bundle.fileName}.extracted`), "");
      return true;
    },
  };
}

interface NamedBundle {
  uri: string;
  fileName: string;
  /** Relative to the working directory, within it. */
  destination: string;
}

/** The bundle of a `… --tgz URI [--dest DIR] …` command line, where its place lies within the working directory. */
export function namedBundle(argv: readonly string[]): NamedBundle | undefined {
  const uri = option(argv, "--tgz");
  if (!uri?.startsWith("s3://")) return undefined;
  const fileName = uri.slice(uri.lastIndexOf("/") + 1);
  const destination = normalize(option(argv, "--dest") ?? ".");
  if (fileName === "" || destination.startsWith("..") || destination.startsWith("/")) return undefined;
  return { uri, fileName, destination };
}

function option(argv: readonly string[], name: string): string | undefined {
  const index = argv.indexOf(name);
  return index < 0 ? undefined : argv[index + 1];
}
