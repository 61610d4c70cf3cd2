import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import test, { after } from "node:test";
import { openDatabase } from "./database.ts";
import { isAlive } from "./embedded/server-process.ts";
import { folderVariable } from "./testing/shared-server.ts";
import { defer, eventually, temporaryFolder } from "./testing/support.ts";
import { stopTestServer, type TestScope, testDatabase, testServerUrl } from "./testing.ts";

/** These tests kill their server, so they have one of their own. */
const file = { after };
delete process.env.FLYTE_TS_TEST_DATABASE_URL;
process.env[folderVariable] = join(await temporaryFolder(file), "server");
defer(file, stopTestServer);

/** A test whose end we bring about ourselves. */
function scope(error?: unknown) {
  const hooks: (() => Promise<void>)[] = [];
  const messages: string[] = [];
  const t: TestScope = { after: (hook) => hooks.push(hook), error, diagnostic: (message) => messages.push(message) };
  const end = async () => {
    for (const hook of hooks) await hook();
  };
  return { t, end, messages };
}

async function migrations(t: test.TestContext): Promise<string> {
  const folder = await temporaryFolder(t);
  await writeFile(join(folder, "0001-one.sql"), "create table one (id int); insert into one values (1);");
  return folder;
}

async function databases(): Promise<string[]> {
  const admin = openDatabase({ url: await testServerUrl(), max: 1 });
  const { rows } = await admin.query<{ datname: string }>({ text: "select datname from pg_database" });
  await admin.close();
  return rows.map(({ datname }) => datname);
}

async function keeperPid(): Promise<number> {
  const text = await readFile(join(process.env[folderVariable] ?? "", "server.json"), "utf8");
  return (JSON.parse(text) as { pid: number }).pid;
}

test("processes and tests that come at once share one server and one template, and see only their own data", async (t) => {
  const folder = await migrations(t);
  const program = `
    import { testDatabase } from ${JSON.stringify(new URL("./testing.ts", import.meta.url).href)};
    const hooks = [];
    const database = await testDatabase({ after: (hook) => hooks.push(hook) }, { migrations: ${JSON.stringify(folder)} });
    const { rowCount } = await database.query({ text: "select * from one" });
    for (const hook of hooks) await hook();
    console.log(rowCount);`;
  const others = [1, 2].map(async () => {
    const child = spawn(process.execPath, ["--input-type=module", "-e", program], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [answer] = (await once(child.stdout, "data")) as [Buffer];
    await once(child, "exit");
    return answer.toString().trim();
  });
  const [a, b] = await Promise.all([testDatabase(t, { migrations: folder }), testDatabase(t, { migrations: folder })]);
  await a.query({ text: "insert into one values (2)" });
  assert.equal((await a.query({ text: "select * from one" })).rowCount, 2);
  assert.equal((await b.query({ text: "select * from one" })).rowCount, 1);
  assert.deepEqual(await Promise.all(others), ["1", "1"]);
  assert.equal((await databases()).filter((name) => name.startsWith("flyte_ts_template_")).length, 1);
  await writeFile(join(folder, "0002-two.sql"), "insert into one values (2)");
  const c = await testDatabase(t, { migrations: folder });
  assert.equal((await c.query({ text: "select * from one" })).rowCount, 2);
});

test("a passed test's database is dropped, a failed one's is kept and named", async () => {
  const passed = scope();
  const failed = scope(new Error("failed"));
  const names = await Promise.all(
    [passed, failed].map(async ({ t }) => {
      const database = await testDatabase(t);
      const { rows } = await database.query<{ name: string }>({ text: "select current_database() as name" });
      return rows[0]?.name ?? "";
    }),
  );
  await Promise.all([passed.end(), failed.end()]);
  const left = await databases();
  assert.deepEqual(
    names.map((name) => left.includes(name)),
    [false, true],
  );
  assert.equal(passed.messages.length, 0);
  assert.match(failed.messages[0] ?? "", new RegExp(`is kept: ${names[1]} on postgres://flyte:\\*\\*\\*@`));
});

test("a server that died with its keeper is started again, and stopTestServer ends it", async (t) => {
  const first = scope();
  const database = await testDatabase(first.t);
  const { rows } = await database.query<{ pid: number }>({
    text: "select pg_read_file('postmaster.pid', 0, 10)::text as text, split_part(pg_read_file('postmaster.pid'), E'\\n', 1)::int as pid",
  });
  const keeper = await keeperPid();
  process.kill(keeper, "SIGKILL");
  process.kill(rows[0]?.pid ?? 0, "SIGKILL");
  await eventually(() =>
    database.ping().then(
      () => false,
      () => true,
    ),
  );
  await first.end();
  const again = await testDatabase(t);
  await again.ping();
  const second = await keeperPid();
  assert.notEqual(second, keeper);
  await stopTestServer();
  assert.equal(isAlive(second), false);
  await stopTestServer();
});

test("an unused server ends by itself", async () => {
  process.env.FLYTE_TS_TEST_SERVER_IDLE_MS = "200";
  try {
    await testServerUrl();
    const pid = await keeperPid().catch(() => 0);
    await eventually(() => pid === 0 || !isAlive(pid));
  } finally {
    delete process.env.FLYTE_TS_TEST_SERVER_IDLE_MS;
  }
});
