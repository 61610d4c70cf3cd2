import assert from "node:assert/strict";
import { chmod, lstat, mkdir, readFile, readlink, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import test from "node:test";
import { temporaryFolder } from "../testing/support.ts";
import { type Binaries, findBinaries, prepareBinaries } from "./binaries.ts";
import { EmbeddedPostgresError } from "./embedded-postgres-error.ts";

const ourselves = { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0, foreign: false };
const other = { uid: 4711, gid: 4712, foreign: true };

/** A package as npm installs it: a program, a library, and the link that its install script would have made. */
async function packageIn(folder: string): Promise<Binaries> {
  const native = join(folder, "package", "native");
  await mkdir(join(native, "bin"), { recursive: true });
  await mkdir(join(native, "lib", "pgxs"), { recursive: true });
  await writeFile(join(native, "bin", "postgres"), "program", { mode: 0o755 });
  await writeFile(join(native, "lib", "libx.so.1.2"), "library");
  await writeFile(join(native, "lib", "libx.a"), "static");
  await writeFile(
    join(native, "pg-symlinks.json"),
    JSON.stringify([{ source: "native/lib/libx.so.1.2", target: "native/lib/libx.so.1" }]),
  );
  return { version: "1.2.3", major: 1, native };
}

test("finds the installed package and its major version", async () => {
  const found = await findBinaries();
  assert.equal(String(found.major), found.version.split(".")[0]);
  assert.ok((await lstat(join(found.native, "bin", "postgres"))).isFile());
});

test("makes the missing links in place, once", async (t) => {
  const found = await packageIn(await temporaryFolder(t));
  for (let round = 0; round < 2; round++) assert.deepEqual(await prepareBinaries(found, ourselves, []), found);
  assert.equal(await readlink(join(found.native, "lib", "libx.so.1")), "libx.so.1.2");
});

test("copies once, whole, when the server's user cannot reach the package", async (t) => {
  const folder = await temporaryFolder(t);
  await chmod(folder, 0o755);
  const found = await packageIn(join(folder, "private"));
  await chmod(join(folder, "private"), 0o700);
  const root = join(folder, "cache");
  const copies = await Promise.all([1, 2, 3].map(() => prepareBinaries(found, other, [root])));
  const copy = copies[0];
  assert.ok(copy);
  assert.ok(copy.native.startsWith(root));
  assert.ok(copies.every(({ native }) => native === copy.native));
  assert.equal(await readFile(join(copy.native, "lib", "libx.so.1"), "utf8"), "library");
  assert.equal(await lstat(join(copy.native, "lib", "libx.a")).catch(() => "absent"), "absent");
});

test("a cache that others can change, or that is somebody's link, is not used", async (t) => {
  const folder = await temporaryFolder(t);
  await chmod(folder, 0o755);
  const found = await packageIn(join(folder, "private"));
  await chmod(join(folder, "private"), 0o700);
  const open = join(folder, "open");
  await mkdir(open);
  await chmod(open, 0o777);
  const link = join(folder, "link");
  await symlink(open, link);
  await assert.rejects(prepareBinaries(found, other, [open, link]), (error) => {
    assert.ok(error instanceof EmbeddedPostgresError);
    assert.match(error.message, /cannot be run by user id 4711.*Make one of these writable/);
    return true;
  });
});
