import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import test, { after } from "node:test";
import { recordingLog, startIn } from "../testing/embedded-server.ts";
import { temporaryFolder } from "../testing/support.ts";
import { findBinaries, prepareBinaries } from "./binaries.ts";
import { ensureCluster } from "./create-cluster.ts";
import { EmbeddedPostgresError } from "./embedded-postgres-error.ts";
import { prepareDataDir } from "./layout.ts";
import { startEmbeddedPostgres } from "./start-embedded-postgres.ts";

const isRoot = process.geteuid?.() === 0;
/** One database for all: each test damages it in one way and repairs it afterwards. */
const shared = temporaryFolder({ after }).then((folder) => join(folder, "pg"));

test("a cluster of another major version, or none at all, is refused with what to do", async (t) => {
  const dataDir = await shared;
  await (await startIn(t, dataDir)).stop();
  const attempt = () => startEmbeddedPostgres({ dataDir, log: recordingLog() });
  const version = join(dataDir, "cluster", "PG_VERSION");
  const good = await readFile(version, "utf8");
  await writeFile(version, "14\n");
  await assert.rejects(attempt(), /was made by PostgreSQL 14, but this flyte-ts brings PostgreSQL \d+\. .*pg_dump/);
  await writeFile(version, "garbage\n");
  await assert.rejects(attempt(), /is not a PostgreSQL cluster.*backup/);
  await writeFile(version, good);
});

test("a lost or foreign password file is refused with what to do", async (t) => {
  const dataDir = await shared;
  await (await startIn(t, dataDir)).stop();
  const attempt = () => startEmbeddedPostgres({ dataDir, log: recordingLog() });
  const file = join(dataDir, "password");
  const good = await readFile(file, "utf8");
  await writeFile(file, "");
  await assert.rejects(attempt(), /password file .* is missing or empty/);
  await writeFile(file, "another\n");
  await assert.rejects(attempt(), /does not belong to this database/);
  await writeFile(file, good);
});

test("a server that ends while starting gives its own reason and the log's place", async (t) => {
  const dataDir = await shared;
  await (await startIn(t, dataDir)).stop();
  const file = join(dataDir, "cluster", "postgresql.conf");
  const good = await readFile(file, "utf8");
  await writeFile(file, "nonsense_setting = maybe\n");
  await assert.rejects(startEmbeddedPostgres({ dataDir, log: recordingLog() }), (error) => {
    assert.ok(error instanceof EmbeddedPostgresError);
    assert.match(error.message, /ended while starting.*postgres\.log/);
    return true;
  });
  await writeFile(file, good);
});

test("a data folder that cannot be made is refused by name", async (t) => {
  const file = join(await temporaryFolder(t), "file");
  await writeFile(file, "");
  const attempt = startEmbeddedPostgres({ dataDir: join(file, "pg"), log: recordingLog() });
  await assert.rejects(attempt, /The data directory .*file\/pg cannot be made .*ENOTDIR.*choose another/);
});

test("a user unknown to the machine is told to become known", {
  skip: isRoot ? false : "only root can try",
}, async (t) => {
  const dataDir = join(await temporaryFolder(t), "pg");
  const unknown = { uid: 54_321, gid: 54_321, foreign: true };
  const binaries = await prepareBinaries(await findBinaries(), unknown);
  const layout = await prepareDataDir(dataDir, unknown);
  const attempt = ensureCluster({ layout, binaries, identity: unknown, password: "x", durable: false });
  await assert.rejects(attempt, /as user id 54321, because this machine does not know that user. Add it/);
});
