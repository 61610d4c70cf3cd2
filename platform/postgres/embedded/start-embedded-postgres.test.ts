import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, readFile, stat, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { text } from "node:stream/consumers";
import test, { after } from "node:test";
import { openDatabase } from "../database.ts";
import { DatabaseUnavailableError } from "../errors.ts";
import { ask, killAndWait, owner, recordingLog, startIn, startOwner } from "../testing/embedded-server.ts";
import { defer, eventually, temporaryFolder } from "../testing/support.ts";
import { canReach, findUser } from "./server-identity.ts";
import { isAlive } from "./server-process.ts";
import { startEmbeddedPostgres } from "./start-embedded-postgres.ts";
import { isServerOf } from "./takeover.ts";

const isRoot = process.geteuid?.() === 0;
const onLinux = process.platform === "linux";

/** Making a database takes a second, so most tests share one folder, one after the other. */
const shared = temporaryFolder({ after }).then((folder) => join(folder, "pg"));

test("a new folder becomes a private, durable database that is there again at the next start", async (t) => {
  const dataDir = await shared;
  process.env.FLYTE_TS_TEST_SECRET = "hidden";
  const first = await startIn(t, dataDir);
  const rows = await ask(
    first,
    `select current_database() as name, current_setting('fsync') as fsync, current_setting('synchronous_commit') as commit,
      current_setting('listen_addresses') as tcp, current_setting('data_checksums') as checksums,
      (select datcollate || datlocale from pg_database where datname = current_database()) as locale`,
  );
  assert.deepEqual(rows, [{ name: "flyte", fsync: "on", commit: "on", tcp: "", checksums: "on", locale: "CC.UTF-8" }]);
  await ask(first, "create table if not exists kept as select 1 as one");
  assert.equal((await stat(dataDir)).mode & 0o777, 0o700);
  assert.equal((await stat(first.socketDir)).mode & 0o777, 0o700);
  assert.equal((await stat(join(dataDir, "password"))).mode & 0o777, 0o600);
  if (onLinux) {
    const pid = first.pid ?? 0;
    assert.equal((await readFile(`/proc/${pid}/environ`, "utf8")).includes("hidden"), false);
    const fields = (await readFile(`/proc/${pid}/stat`, "utf8")).split(") ")[1]?.split(" ");
    assert.equal(Number(fields?.[2]), pid, "its process group is its own");
    if (isRoot) assert.notEqual((await stat(`/proc/${pid}`)).uid, 0);
  }
  const pid = first.pid ?? 0;
  await Promise.all([first.stop(), first.stop()]);
  await first.done;
  assert.equal(isAlive(pid), false);
  assert.equal(first.pid, undefined);
  const second = await startIn(t, dataDir);
  assert.equal(second.url, first.url);
  assert.deepEqual(await ask(second, "select one from kept"), [{ one: 1 }]);
});

test("a wrong password does not get in", async (t) => {
  const server = await startIn(t, await shared);
  const url = new URL(server.url);
  url.password = "guess";
  await assert.rejects(ask({ url: url.href }, "select 1"), /password authentication failed/);
});

test("another local user cannot reach the socket", {
  skip: isRoot ? false : "only root can try as another user",
}, async (t) => {
  const dataDir = await shared;
  await chmod(dirname(dataDir), 0o755);
  const server = await startIn(t, dataDir);
  const socket = join(server.socketDir, ".s.PGSQL.5432");
  // Opening a socket as a file always fails; who may not even reach it is told so. The shell is there for every user.
  const child = spawn("/bin/sh", ["-c", 'cat "$0" 2>&1 || true', socket], {
    uid: 54_321,
    gid: 54_321,
    cwd: "/",
    env: { PATH: "/usr/bin:/bin", LC_ALL: "C" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  assert.match(await text(child.stdout), /Permission denied/);
});

test("a server killed with -9 fails calls as unavailable, comes back, and keeps what was committed", async (t) => {
  const log = recordingLog();
  const server = await startIn(t, await shared, log);
  const database = openDatabase({ url: server.url });
  await database.query({ text: "create table if not exists kept as select 1 as one" });
  let starts = 0;
  const subscription = database.listen(
    "a",
    () => {},
    () => starts++,
  );
  await subscription.ready;
  const before = server.pid ?? 0;
  const waiting = assert.rejects(
    database.query({ text: "select pg_sleep(600)", timeoutMs: 600_000 }),
    DatabaseUnavailableError,
  );
  process.kill(before, "SIGKILL");
  await waiting;
  await eventually(async () => {
    try {
      return (await database.query({ text: "select one from kept" })).rowCount === 1;
    } catch (error) {
      assert.ok(error instanceof DatabaseUnavailableError, String(error));
      return false;
    }
  });
  await eventually(() => starts === 2);
  assert.notEqual(server.pid, before);
  assert.ok(log.messages.includes("PostgreSQL died and is started again"));
  await eventually(() => log.messages.includes("PostgreSQL is back"));
  await database.close();
});

test("stop during a restart ends it for good", async (t) => {
  const server = await startIn(t, await shared);
  process.kill(server.pid ?? 0, "SIGKILL");
  await eventually(() => server.pid === undefined);
  await server.stop();
  await server.done;
  assert.equal(server.pid, undefined);
});

test("an open transaction does not hold up the shutdown", async (t) => {
  const server = await startIn(t, await shared);
  const database = openDatabase({ url: server.url });
  const work = database.transaction(async (sql) => {
    await sql.query({ text: "select 1" });
    await server.stop();
    await sql.query({ text: "select 1" });
  });
  await assert.rejects(work, DatabaseUnavailableError);
  await database.close();
});

test("a server that outlived its owner is stopped and replaced", async (t) => {
  const dataDir = await shared;
  const old = await startOwner(t, dataDir);
  await killAndWait(old.child);
  assert.ok(await isServerOf(old.pid, join(dataDir, "cluster")));
  const log = recordingLog();
  const server = await startIn(t, dataDir, log);
  assert.equal(await isServerOf(old.pid, join(dataDir, "cluster")), false);
  assert.ok(log.messages.some((message) => message.includes("left over")));
  assert.deepEqual(await ask(server, "select one from kept"), [{ one: 1 }]);
});

test("owner and server killed with -9: the stale lock is no obstacle and nothing committed is lost", async (t) => {
  const dataDir = await shared;
  const old = await startOwner(t, dataDir);
  process.kill(old.pid, "SIGKILL");
  await killAndWait(old.child);
  assert.ok((await readFile(join(dataDir, "cluster", "postmaster.pid"), "utf8")).startsWith(`${old.pid}\n`));
  const server = await startIn(t, dataDir);
  assert.deepEqual(await ask(server, "select one from kept"), [{ one: 1 }]);
});

test("a lock file whose process id went to somebody else is no obstacle, and that process is left alone", async (t) => {
  const dataDir = await shared;
  await (await startIn(t, dataDir)).stop();
  const { uid, gid } = await stat(join(dataDir, "cluster"));
  const bystander = spawn("sleep", ["600"], isRoot ? { uid, gid, cwd: "/" } : {});
  defer(t, () => bystander.kill());
  await writeFile(join(dataDir, "cluster", "postmaster.pid"), `${bystander.pid}\n/elsewhere\n1\n5432\n\n\n\nready\n`);
  await startIn(t, dataDir);
  assert.ok(isAlive(bystander.pid ?? 0));
});

test("an interrupted first start is begun again", async (t) => {
  const dataDir = join(await temporaryFolder(t), "pg");
  await mkdir(join(dataDir, "cluster.new"), { recursive: true });
  await writeFile(join(dataDir, "cluster.new", "PG_VERSION"), "18\n");
  const server = await startIn(t, dataDir);
  assert.deepEqual(await ask(server, "select 1 as one"), [{ one: 1 }]);
});

test("a path too long for a socket gets a short private one, the same each time", async (t) => {
  const dataDir = join(await temporaryFolder(t), "x".repeat(120), "pg");
  const first = await startIn(t, dataDir);
  assert.ok(first.socketDir.length < 100);
  assert.equal((await stat(first.socketDir)).mode & 0o777, 0o700);
  assert.deepEqual(await ask(first, "select 1 as one"), [{ one: 1 }]);
  await first.stop();
  assert.equal(await stat(first.socketDir).catch(() => "removed"), "removed");
  assert.equal((await startIn(t, dataDir)).url, first.url);
});

test("a data folder below a private one works although its server may not pass", {
  skip: isRoot && onLinux ? false : "only root on Linux",
}, async (t) => {
  const folder = await temporaryFolder(t);
  const dataDir = join(folder, "private", "pg");
  await mkdir(dirname(dataDir), { mode: 0o700 });
  const server = await startIn(t, dataDir);
  assert.equal(await canReach(dataDir, { uid: (await stat(dataDir)).uid, gid: 0, foreign: true }), false);
  await ask(server, "checkpoint");
  assert.deepEqual(await ask(server, "select 1 as one"), [{ one: 1 }]);
});

test("a normal user can run it all", { skip: isRoot ? false : "the other tests show it" }, async (t) => {
  const normal = findUser(await readFile("/etc/passwd", "utf8"), "nobody");
  if (normal === undefined) return t.skip("this machine knows no user `nobody`");
  for (const path of [process.execPath, dirname(owner)]) {
    if (!(await canReach(path, { ...normal, foreign: true }))) return t.skip(`other users cannot read ${path}`);
  }
  const folder = await temporaryFolder(t);
  await chmod(folder, 0o777);
  const home = join(folder, "home");
  const env = { PATH: process.env.PATH, HOME: home, TMPDIR: folder };
  const server = await startOwner(t, join(home, "pg"), { ...normal, env });
  const exited = once(server.child, "exit");
  assert.deepEqual(await ask(server, "select one from kept"), [{ one: 1 }]);
  assert.equal((await stat(join(home, "pg", "cluster"))).uid, normal.uid);
  server.child.stdin.end();
  assert.deepEqual(await exited, [0, null]);
});

test("with a port it also listens on loopback", async (t) => {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const address = probe.address();
  assert.ok(address !== null && typeof address === "object");
  const { port } = address;
  probe.close();
  await once(probe, "close");
  const dataDir = await shared;
  const server = await startEmbeddedPostgres({ dataDir, port, log: recordingLog() });
  defer(t, () => server.stop());
  const url = new URL(server.url);
  assert.deepEqual(await ask(server, "select 1 as one"), [{ one: 1 }]);
  url.search = "";
  url.host = `127.0.0.1:${port}`;
  assert.deepEqual(await ask({ url: url.href }, "select 1 as one"), [{ one: 1 }]);
});
