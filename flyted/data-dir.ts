/** The data directory of the all-in-one server: made private, held by one server at a time, with the keys made once. */
import { randomBytes, randomUUID } from "node:crypto";
import { link, mkdir, readFile, rename, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { processStart } from "./process-start.ts";

export interface DataDir {
  path: string;
  postgres: string;
  objects: string;
  attempts: string;
  /** Of the embedded S3 endpoint. */
  credentials: { accessKeyId: string; secretAccessKey: string };
  /** Tells the executor that works here apart from those of other data directories. */
  clusterUid: string;
  release(): Promise<void>;
}

export class DataDirHeldError extends Error {
  constructor(path: string, holder: { pid: number; url?: string }) {
    super(
      `the data directory ${path} is held by process ${holder.pid}${holder.url ? ` serving ${holder.url}` : ""}; stop that server, or give this one another --data-dir`,
    );
  }
}

interface Holder {
  pid: number;
  start: string;
}

export async function openDataDir(path: string): Promise<DataDir> {
  await mkdir(path, { recursive: true, mode: 0o711 });
  const lock = join(path, "server.lock");
  await hold(path, lock);
  const credentials = await storedKeys(join(path, "object-store-keys.json"));
  return {
    path,
    postgres: join(path, "postgres"),
    objects: join(path, "objects"),
    attempts: join(path, "work"),
    credentials,
    clusterUid: await storedUid(join(path, "cluster-uid")),
    release: () => unlink(lock).catch(() => undefined),
  };
}

async function hold(path: string, lock: string): Promise<void> {
  const mine: Holder = { pid: process.pid, start: (await processStart(process.pid)) ?? "" };
  const draft = `${lock}.${process.pid}.${randomBytes(4).toString("hex")}`;
  await writeFile(draft, JSON.stringify(mine), { mode: 0o600 });
  try {
    for (let tries = 0; tries < 20; tries++) {
      try {
        // A link appears whole or not at all, and fails when the name is taken.
        await link(draft, lock);
        return;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
      }
      const text = await readFile(lock, "utf8").catch(() => "");
      const holder = parse(text);
      if (holder && (await processStart(holder.pid)) === holder.start) throw new DataDirHeldError(path, holder);
      await takeAway(lock, text);
    }
    throw new Error(`the lock ${lock} could not be taken; remove it if no server uses ${path}`);
  } finally {
    await unlink(draft).catch(() => undefined);
  }
}

/** Removes the lock of a dead server, unless somebody else has replaced it meanwhile: then that one is put back. */
async function takeAway(lock: string, text: string): Promise<void> {
  const aside = `${lock}.stale.${process.pid}`;
  try {
    await rename(lock, aside);
  } catch {
    return;
  }
  if ((await readFile(aside, "utf8").catch(() => text)) !== text) await link(aside, lock).catch(() => undefined);
  await unlink(aside).catch(() => undefined);
}

function parse(text: string): Holder | undefined {
  try {
    const value = JSON.parse(text) as Partial<Holder>;
    return typeof value.pid === "number" && typeof value.start === "string"
      ? { pid: value.pid, start: value.start }
      : undefined;
  } catch {
    return undefined;
  }
}

async function storedKeys(file: string): Promise<DataDir["credentials"]> {
  const fresh = {
    accessKeyId: `FTS${randomBytes(8).toString("hex").toUpperCase()}`,
    secretAccessKey: randomBytes(30).toString("base64url"),
  };
  try {
    await writeFile(file, JSON.stringify(fresh), { mode: 0o600, flag: "wx" });
    return fresh;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
  const stored = JSON.parse(await readFile(file, "utf8")) as Partial<DataDir["credentials"]>;
  if (!stored.accessKeyId || !stored.secretAccessKey) {
    throw new Error(
      `${file} holds no keys; remove it to have new ones made (signed URLs given out before end with it)`,
    );
  }
  return { accessKeyId: stored.accessKeyId, secretAccessKey: stored.secretAccessKey };
}

async function storedUid(file: string): Promise<string> {
  const stored = await readFile(file, "utf8").catch(() => "");
  if (stored.trim() !== "") return stored.trim();
  const fresh = randomUUID();
  await writeFile(file, `${fresh}\n`, { mode: 0o600 });
  return fresh;
}
