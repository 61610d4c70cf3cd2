/**
 * What lies where in the embedded server's data folder, how its socket is reached, and the private places both need.
 *
 *     <dataDir>/cluster     PostgreSQL's own data
 *     <dataDir>/socket      its unix socket, unless the path is too long for one
 *     <dataDir>/password    of the role `flyte`, readable by us only
 *     <dataDir>/postgres.log
 *
 * The folder belongs to the server's user with mode 0700, so no other local user gets to any of it.
 */
import { createHash, randomBytes } from "node:crypto";
import { chmod, chown, lstat, mkdir, open, readFile, realpath, rename, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EmbeddedPostgresError } from "./embedded-postgres-error.ts";
import { canReach, type ServerIdentity } from "./server-identity.ts";

export interface Layout {
  readonly dataDir: string;
  readonly cluster: string;
  readonly passwordFile: string;
  readonly logFile: string;
}

export const role = "flyte";
/** Only names the socket file while the server does not listen on TCP. */
export const defaultPort = 5432;
/** sun_path holds 104 bytes on macOS and 108 on Linux; some room is left for the lock file's suffix. */
const longestSocketPath = 95;

export function layoutOf(dataDir: string): Layout {
  return {
    dataDir,
    cluster: join(dataDir, "cluster"),
    passwordFile: join(dataDir, "password"),
    logFile: join(dataDir, "postgres.log"),
  };
}

/** Makes the data folder if needed, private to the server's user; gives its real path. */
export async function prepareDataDir(dataDir: string, identity: ServerIdentity): Promise<Layout> {
  try {
    await mkdir(dataDir, { recursive: true, mode: 0o700 });
    const real = await realpath(dataDir);
    await makePrivate(real, identity);
    return layoutOf(real);
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw new EmbeddedPostgresError(
      `The data directory ${dataDir} cannot be made or made private (${code}). Check who owns it and its parents, or choose another data directory.`,
      { cause },
    );
  }
}

async function makePrivate(folder: string, identity: ServerIdentity): Promise<void> {
  const info = await stat(folder);
  if (identity.foreign && (info.uid !== identity.uid || info.gid !== identity.gid)) {
    await chown(folder, identity.uid, identity.gid);
  }
  if ((info.mode & 0o777) !== 0o700) await chmod(folder, 0o700);
}

/** A folder for the socket that only the server's user and we can enter, with a path short enough for a socket. */
export async function prepareSocketDir(layout: Layout, identity: ServerIdentity, port: number): Promise<string> {
  const own = join(layout.dataDir, "socket");
  const name = `flyte-ts-pg-${createHash("sha256").update(layout.dataDir).digest("hex").slice(0, 16)}`;
  for (const folder of [own, join(tmpdir(), name), join("/tmp", name)]) {
    if (Buffer.byteLength(socketPath(folder, port)) > longestSocketPath) continue;
    try {
      await mkdir(folder, { mode: 0o700 });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") continue;
    }
    const info = await lstat(folder);
    const mine = info.uid === (process.geteuid?.() ?? 0) || info.uid === identity.uid;
    // In a shared folder somebody else may have taken the name, to listen in.
    if (!info.isDirectory() || !mine) continue;
    await makePrivate(folder, identity);
    if (folder === own || (await canReach(folder, identity))) return folder;
  }
  throw new EmbeddedPostgresError(
    `There is no usable place for the database's socket: ${own} is longer than ${longestSocketPath} bytes, and ${join("/tmp", name)} cannot be used or belongs to another user. Choose a shorter data directory or set TMPDIR.`,
  );
}

export function socketPath(folder: string, port: number): string {
  return join(folder, `.s.PGSQL.${port}`);
}

/** As libpq and every driver understand it: the host in the query is the socket's folder. */
export function databaseUrl(options: { password: string; socketDir: string; port: number; database: string }): string {
  const { password, socketDir, port, database } = options;
  const query = new URLSearchParams({ host: socketDir, port: String(port) });
  return `postgres://${role}:${password}@localhost/${database}?${query}`;
}

/** The role's password, made on first use; hex, so it needs no escaping in a URL. */
export async function ensurePassword(layout: Layout): Promise<string> {
  const existing = await readFile(layout.passwordFile, "utf8").catch(() => "");
  if (existing.trim() !== "") return existing.trim();
  const isUsed = await stat(join(layout.cluster, "PG_VERSION")).catch(() => undefined);
  if (isUsed !== undefined) {
    throw new EmbeddedPostgresError(
      `The database in ${layout.dataDir} exists, but its password file ${layout.passwordFile} is missing or empty. Restore that file from a backup, or choose another data directory.`,
    );
  }
  const password = randomBytes(24).toString("hex");
  const fresh = `${layout.passwordFile}.new`;
  const file = await open(fresh, "w", 0o600);
  try {
    await file.writeFile(`${password}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(fresh, layout.passwordFile);
  return password;
}
