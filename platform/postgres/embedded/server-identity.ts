/**
 * Which system user the server runs as. PostgreSQL refuses to run as root, so root hands it to an unprivileged user;
 * everybody else runs it as themselves.
 */
import { readFile, stat } from "node:fs/promises";
import { dirname } from "node:path";

export interface ServerIdentity {
  readonly uid: number;
  readonly gid: number;
  /** The server runs as another user than this process (which is then root). */
  readonly foreign: boolean;
}

/** The uid that PostgreSQL has in common images, for the error that names it when the machine knows no normal user. */
const fallbackId = 70;

/** Keeps the owner of an existing cluster; else `postgres`, `nobody` or any other user (initdb insists on a known one). */
export async function chooseIdentity(cluster: string): Promise<ServerIdentity> {
  const uid = process.geteuid?.() ?? 0;
  const gid = process.getegid?.() ?? 0;
  if (uid !== 0) return { uid, gid, foreign: false };
  const owner = await stat(cluster).catch(() => undefined);
  if (owner !== undefined && owner.uid !== 0) return { uid: owner.uid, gid: owner.gid, foreign: true };
  const passwd = await readFile("/etc/passwd", "utf8").catch(() => "");
  const ids = findUser(passwd, "postgres") ??
    findUser(passwd, "nobody") ??
    findUser(passwd) ?? { uid: fallbackId, gid: fallbackId };
  return { ...ids, foreign: true };
}

/** The ids of this (or the first) user in the text of /etc/passwd that is not root, not even in disguise. */
export function findUser(passwd: string, name?: string): { uid: number; gid: number } | undefined {
  for (const line of passwd.split("\n")) {
    const [user, , uid, gid] = line.split(":");
    if ((name === undefined || user === name) && Number(uid) > 0 && Number(gid) >= 0)
      return { uid: Number(uid), gid: Number(gid) };
  }
  return undefined;
}

/** Whether the server's user may pass through every folder above `path` and read (and enter or run) `path` itself. */
export async function canReach(path: string, identity: ServerIdentity): Promise<boolean> {
  if (!identity.foreign) return true;
  if (!(await allows(path, identity, 0o5))) return false;
  for (let folder = dirname(path); ; folder = dirname(folder)) {
    if (!(await allows(folder, identity, 0o1))) return false;
    if (folder === dirname(folder)) return true;
  }
}

async function allows(path: string, { uid, gid }: ServerIdentity, bits: number): Promise<boolean> {
  const info = await stat(path);
  const shift = info.uid === uid ? 6 : info.gid === gid ? 3 : 0;
  return ((info.mode >> shift) & bits) === bits;
}
