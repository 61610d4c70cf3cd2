/**
 * Makes a new cluster, or checks that an existing one fits these programs. The cluster is built beside its place and
 * moved there complete, so a start that was interrupted leaves nothing half-made behind.
 */
import { chown, open, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Binaries } from "./binaries.ts";
import { EmbeddedPostgresError } from "./embedded-postgres-error.ts";
import { type Layout, role } from "./layout.ts";
import type { ServerIdentity } from "./server-identity.ts";
import { openServerLog, readFrom, sizeOf } from "./server-log.ts";
import { startProgram } from "./server-process.ts";

export interface ClusterInput {
  readonly layout: Layout;
  readonly binaries: Binaries;
  readonly identity: ServerIdentity;
  readonly password: string;
  readonly durable: boolean;
}

/** True when a new cluster was made. */
export async function ensureCluster(input: ClusterInput): Promise<boolean> {
  const { layout, binaries } = input;
  if ((await stat(layout.cluster).catch(() => undefined)) === undefined) {
    await createCluster(input);
    return true;
  }
  const text = await readFile(join(layout.cluster, "PG_VERSION"), "utf8").catch(() => undefined);
  const found = Number(text?.trim());
  if (text === undefined || !Number.isInteger(found) || found <= 0) {
    throw new EmbeddedPostgresError(
      `${layout.cluster} is not a PostgreSQL cluster: its file PG_VERSION is missing or unreadable. Restore the folder from a backup, or choose another data directory.`,
    );
  }
  if (found !== binaries.major) {
    throw new EmbeddedPostgresError(
      `The database in ${layout.dataDir} was made by PostgreSQL ${found}, but this flyte-ts brings PostgreSQL ${binaries.major}. ` +
        `Start the flyte-ts version that made it, dump it there with pg_dump, and load the dump into a new data directory.`,
    );
  }
  return false;
}

async function createCluster(input: ClusterInput): Promise<void> {
  const { layout, binaries, identity, password, durable } = input;
  const fresh = `${layout.cluster}.new`;
  const passwordFile = join(layout.dataDir, "password.init");
  await rm(fresh, { recursive: true, force: true });
  await writeFile(passwordFile, `${password}\n`, { mode: 0o600 });
  if (identity.foreign) await chown(passwordFile, identity.uid, identity.gid);
  const before = await sizeOf(layout.logFile);
  const output = await openServerLog(layout.logFile);
  try {
    const { exited } = await startProgram({
      program: join(binaries.native, "bin", "initdb"),
      identity,
      dataDir: layout.dataDir,
      output,
      args: (dataDir) => [
        ...["-D", join(dataDir, "cluster.new"), "-U", role, `--pwfile=${join(dataDir, "password.init")}`],
        ...["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--locale-provider=builtin"],
        ...["--builtin-locale=C.UTF-8", "--no-instructions", durable ? "--sync-method=fsync" : "--no-sync"],
        // Given values are not probed for, which halves the time.
        ...["-c", "max_connections=60", "-c", "shared_buffers=128MB"],
      ],
    });
    const { code, signal } = await exited;
    if (code !== 0) {
      const all = await readFrom(layout.logFile, before);
      if (/could not look up effective user ID/.test(all)) {
        throw new EmbeddedPostgresError(
          `PostgreSQL cannot make a database as user id ${identity.uid}, because this machine does not know that user. Add it to /etc/passwd, or use --database-url with a PostgreSQL of your own.`,
        );
      }
      const said = all.trim().split("\n").slice(-3).join(" ");
      throw new EmbeddedPostgresError(
        `A new database could not be made in ${layout.dataDir} (initdb ended with ${signal ?? code}): ${said}. See ${layout.logFile}.`,
      );
    }
    await rename(fresh, layout.cluster);
    if (durable) await syncFolder(layout.dataDir);
  } finally {
    await output.close();
    await rm(passwordFile, { force: true });
  }
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r");
  await handle.sync().finally(() => handle.close());
}
