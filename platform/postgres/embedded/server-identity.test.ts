import assert from "node:assert/strict";
import { chmod, chown, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import test from "node:test";
import { temporaryFolder } from "../testing/support.ts";
import { canReach, chooseIdentity, findUser } from "./server-identity.ts";

const isRoot = process.geteuid?.() === 0;
const needsRoot = { skip: isRoot ? false : "only root may give folders to other users" };

test("finds a user's ids, and never takes root for one", () => {
  const passwd =
    "root:x:0:0::/root:/bin/sh\npostgres:x:101:104:PostgreSQL,,,:/var/lib:/bin/sh\ntoor:x:0:0::/:/bin/sh\n";
  assert.deepEqual(findUser(passwd, "postgres"), { uid: 101, gid: 104 });
  assert.equal(findUser(passwd, "toor"), undefined);
  assert.equal(findUser(passwd, "nobody"), undefined);
  assert.deepEqual(findUser(passwd), { uid: 101, gid: 104 });
  assert.equal(findUser(""), undefined);
});

test("a normal user runs the server as itself", { skip: isRoot ? "this process is root" : false }, async () => {
  const identity = await chooseIdentity("/nonexistent");
  assert.deepEqual(identity, { uid: process.geteuid?.(), gid: process.getegid?.(), foreign: false });
});

test("root gives it to an unprivileged user, and to the owner of what exists", needsRoot, async (t) => {
  const identity = await chooseIdentity("/nonexistent");
  assert.ok(identity.foreign && identity.uid > 0);
  const folder = await temporaryFolder(t);
  await chown(folder, 4711, 4712);
  assert.deepEqual(await chooseIdentity(folder), { uid: 4711, gid: 4712, foreign: true });
});

test("reaching a file needs every folder above it", needsRoot, async (t) => {
  const folder = await temporaryFolder(t);
  const inner = join(folder, "inner");
  const file = join(inner, "file");
  await mkdir(inner);
  await writeFile(file, "");
  const other = { uid: 4711, gid: 4712, foreign: true };
  const reach = async (outerMode: number, fileMode: number) => {
    await chmod(folder, outerMode);
    await chmod(file, fileMode);
    return canReach(file, other);
  };
  assert.equal(await reach(0o755, 0o755), true);
  assert.equal(await reach(0o711, 0o755), true);
  assert.equal(await reach(0o700, 0o755), false);
  assert.equal(await reach(0o755, 0o750), false);
  await chown(file, 0, 4712);
  assert.equal(await reach(0o755, 0o750), true);
  assert.equal(await canReach(file, { uid: 0, gid: 0, foreign: false }), true);
});
