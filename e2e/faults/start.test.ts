/** Starts that cannot be: one line with the cause and the next step, an exit code, and no stack trace. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { chmod, mkdir, mkdtemp, rm, symlink } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { migrate, openDatabase } from "@flyte-ts/platform/postgres";
import { freePort, ownDatabase } from "../support/database.ts";
import { python, type Refusal, runProgram, startServer } from "../support/server.ts";

const migrations = fileURLToPath(new URL("../../control-plane/schema/migrations", import.meta.url));

function refusedWith({ code, stdout, stderr }: Refusal, pattern: RegExp, exitCode = 1): void {
  const lines = stderr.split("\n").filter((line) => line.startsWith("flyte-ts: "));
  assert.equal(lines.length, 1, stderr);
  assert.match(lines[0] ?? "", pattern);
  assert.doesNotMatch(stderr, /\n {4}at /);
  assert.equal(stdout, "");
  assert.equal(code, exitCode);
}

async function up(t: TestContext, ...args: string[]): Promise<Refusal> {
  const folder = await mkdtemp(join(tmpdir(), "flyte-ts-refused-"));
  await chmod(folder, 0o711);
  t.after(() => rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 200 }));
  const given = (flag: string) => args.includes(flag);
  return runProgram(t, [
    "up",
    "--json",
    ...(given("--port") ? [] : ["--port", "0"]),
    ...(given("--python") ? [] : ["--python", python]),
    ...(given("--data-dir") ? [] : ["--data-dir", join(folder, "data")]),
    ...args,
  ]);
}

test("the port is taken", async (t) => {
  const holder = createServer().listen(0, "127.0.0.1");
  await once(holder, "listening");
  t.after(() => holder.close());
  const { port } = holder.address() as AddressInfo;
  refusedWith(await up(t, "--port", String(port)), new RegExp(`port ${port} of 127.0.0.1 is taken; .*--port`));
});

test("the data directory is held by another server, which is named and not harmed", async (t) => {
  const server = await startServer(t);
  refusedWith(
    await up(t, "--data-dir", server.dataDir),
    new RegExp(`data directory ${server.dataDir} is held by process ${server.pid}.*--data-dir`),
  );
  assert.equal((await fetch(`${server.url}/readyz`)).status, 200);
});

test("a Python that is not there, and one without the SDK", async (t) => {
  refusedWith(await up(t, "--python", "/nowhere/bin/python"), /no Python at \/nowhere\/bin\/python; give --python/);
  const folder = await mkdtemp(join(tmpdir(), "flyte-ts-python-"));
  t.after(() => rm(folder, { recursive: true }));
  await mkdir(join(folder, "bin"));
  await symlink(process.execPath, join(folder, "bin/python"));
  refusedWith(await up(t, "--python", join(folder, "bin/python")), /has no flyte package: .*pip install flyte/);
});

test("addresses beyond loopback need --open", async (t) => {
  refusedWith(await up(t, "--host", "0.0.0.0"), /0\.0\.0\.0 .*no authentication.*--open/, 2);
  refusedWith(await up(t, "--host", "::"), /no authentication.*--open/, 2);
});

describe("the database", async () => {
  const database = await ownDatabase({ after });

  test("is not there", async (t) => {
    const url = `postgres://flyte:secret@127.0.0.1:${await freePort()}/flyte`;
    const refused = await up(t, "--database-url", url);
    refusedWith(refused, /database cannot be used: .*ECONNREFUSED.*; check --database-url/);
    assert.doesNotMatch(refused.stderr, /secret/);
  });

  test("refuses the password", async (t) => {
    const url = new URL(database.url());
    url.password = "wrong-secret";
    const refused = await up(t, "--database-url", url.href);
    refusedWith(refused, /refuses the login: .*correct the user and password in --database-url/);
    assert.doesNotMatch(refused.stderr, /wrong-secret/);
  });

  test("has another name", async (t) => {
    refusedWith(await up(t, "--database-url", database.url("nothing")), /"nothing" does not exist; create it/);
  });

  test("was written by a newer flyte-ts", async (t) => {
    await database.create("newer");
    const newer = openDatabase({ url: database.url("newer"), max: 2 });
    await migrate(newer, { folder: migrations });
    await newer.query({
      text: `insert into schema_migrations (version, name, sha256)
        select max(version) + 1, 'from_the_future', 'x' from schema_migrations`,
    });
    await newer.close();
    refusedWith(await up(t, "--database-url", database.url("newer")), /newer/);
  });
});
