import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { objectStoreContract } from "../contract-suite.ts";
import { InvalidKeyError, StoreUnavailableError } from "../errors.ts";
import { type FileStoreOptions, openFileStore } from "./file-store.ts";

for (const root of ["s3://flyte-data", "s3://flyte-data/some/prefix"]) {
  objectStoreContract(`file, root ${root}`, async () => {
    const folder = await mkdtemp(join(tmpdir(), "object-store-"));
    const store = await openFileStore({ folder, root });
    return {
      store,
      close: async () => {
        await store.close();
        await rm(folder, { recursive: true });
      },
    };
  });
}

async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "object-store-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

async function openTemporary(t: TestContext, options: Partial<FileStoreOptions> = {}) {
  const folder = options.folder ?? (await temporaryFolder(t));
  const store = await openFileStore({ root: "s3://flyte-data", ...options, folder });
  t.after(() => store.close());
  return { folder, store };
}

describe("file store", () => {
  it("follows no symbolic link, in or out", async (t) => {
    const outside = await temporaryFolder(t);
    await writeFile(join(outside, "secret"), "secret");
    const { folder, store } = await openTemporary(t);
    const bucket = join(folder, "buckets/flyte-data");
    await symlink(outside, join(bucket, "dir+"));
    await symlink(join(outside, "secret"), join(bucket, "file"));
    const link = (error: unknown) => error instanceof StoreUnavailableError && /symbolic link/.test(error.message);
    await assert.rejects(store.get("s3://flyte-data/dir/secret"), link);
    await assert.rejects(store.get("s3://flyte-data/file"), link);
    await assert.rejects(store.put("s3://flyte-data/dir/secret", Buffer.from("x")), link);
    await assert.rejects(store.put("s3://flyte-data/dir/new/deep", Buffer.from("x")), link);
    await assert.rejects(store.delete(["s3://flyte-data/dir/secret"]), link);
    assert.deepEqual((await store.list("s3://flyte-data/")).objects, []);
    // Replacing or deleting the link itself touches only the link.
    await store.put("s3://flyte-data/file", Buffer.from("mine"));
    assert.equal(Buffer.from(await store.get("s3://flyte-data/file")).toString(), "mine");
    assert.equal(await readFile(join(outside, "secret"), "utf8"), "secret");
    assert.deepEqual(await readdir(outside), ["secret"]);
  });

  it("refuses a folder whose bucket is a symbolic link", async (t) => {
    const folder = await temporaryFolder(t);
    await mkdir(join(folder, "buckets"));
    await symlink(tmpdir(), join(folder, "buckets/flyte-data"));
    await assert.rejects(openFileStore({ folder, root: "s3://flyte-data" }), /symbolic link/);
  });

  it("holds the buckets it was given and no other", async (t) => {
    const { store } = await openTemporary(t, { buckets: ["second"] });
    await store.put("s3://second/key", Buffer.from("2"));
    assert.equal(await store.head("s3://flyte-data/key"), undefined);
    const foreign = (error: unknown) =>
      error instanceof InvalidKeyError && /no bucket third, only flyte-data, second/.test(error.message);
    await assert.rejects(store.put("s3://third/key", Buffer.from("x")), foreign);
    await assert.rejects(store.list("s3://third/"), foreign);
    const options = { after: "s3://second/x" };
    await assert.rejects(store.list("s3://flyte-data/", options), InvalidKeyError);
  });

  it("leaves no empty directories behind", async (t) => {
    const { folder, store } = await openTemporary(t);
    await store.put("s3://flyte-data/a/b/c/d", Buffer.from("x"));
    await store.put("s3://flyte-data/a/e", Buffer.from("x"));
    await store.delete(["s3://flyte-data/a/b/c/d"]);
    assert.deepEqual(await readdir(join(folder, "buckets/flyte-data/a+")), ["e"]);
    await store.delete(["s3://flyte-data/a/e", "s3://flyte-data/never/there"]);
    assert.deepEqual(await readdir(join(folder, "buckets/flyte-data")), []);
  });

  it("ignores files that are not its own", async (t) => {
    const { folder, store } = await openTemporary(t);
    await writeFile(join(folder, "buckets/flyte-data/.DS_Store"), "finder");
    await mkdir(join(folder, "buckets/flyte-data/lost and found"));
    await store.put("s3://flyte-data/a", Buffer.from("x"));
    const { objects } = await store.list("s3://flyte-data");
    assert.deepEqual(
      objects.map((object) => object.uri),
      ["s3://flyte-data/a"],
    );
  });

  it("names the damaged object when one cannot be listed", async (t) => {
    const { folder, store } = await openTemporary(t);
    for (let i = 10; i < 50; i++) await store.put(`s3://flyte-data/${i}`, Buffer.from("x"));
    for (const damaged of ["10", "11", "45"]) await writeFile(join(folder, "buckets/flyte-data", damaged), "cut");
    const error = /s3:\/\/flyte-data\/1[01].*is not a whole object of this store: restore or delete that file/;
    await assert.rejects(store.list("s3://flyte-data/"), error);
    await assert.rejects(store.get("s3://flyte-data/45"), StoreUnavailableError);
    await store.delete(["s3://flyte-data/10", "s3://flyte-data/11", "s3://flyte-data/45"]);
    assert.equal((await store.list("s3://flyte-data/")).objects.length, 37);
  });

  it("says what to do when its folder is taken away", async (t) => {
    const { folder, store } = await openTemporary(t);
    await rm(folder, { recursive: true });
    await writeFile(folder, "a file now");
    await assert.rejects(store.put("s3://flyte-data/x", Buffer.from("x")), StoreUnavailableError);
    await assert.rejects(store.check(), StoreUnavailableError);
  });

  it("says that URLs need an endpoint", async (t) => {
    const { store } = await openTemporary(t);
    const options = { expiresInSeconds: 60 };
    await assert.rejects(store.signUpload("s3://flyte-data/x", options), /opened without an endpoint/);
    await assert.rejects(store.signDownload("s3://flyte-data/x", options), /opened without an endpoint/);
  });

  it("writes with every level of durability", async (t) => {
    for (const sync of ["none", "data", "full"] as const) {
      const { store } = await openTemporary(t, { sync });
      await store.put("s3://flyte-data/x/y", Buffer.from(sync));
      assert.equal(Buffer.from(await store.get("s3://flyte-data/x/y")).toString(), sync);
    }
  });

  it("survives kill -9 of a writer: whole objects only, leftovers swept, the living left alone", async (t) => {
    const folder = await temporaryFolder(t);
    const child = spawn(process.execPath, ["--input-type=module-typescript", "-e", WRITER, folder], {
      stdio: ["ignore", "pipe", "inherit"],
      cwd: import.meta.dirname,
    });
    await said(child, "writing");
    const { store } = await openTemporary(t, { folder });
    const tmp = join(folder, "tmp");
    assert.equal((await readdir(tmp)).length, 2, "a living writer's directory was swept");
    const exited = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGKILL");
    await exited;
    const { store: after } = await openTemporary(t, { folder });
    assert.deepEqual(
      (await readdir(tmp)).filter((name) => name.startsWith(`${child.pid}-`)),
      [],
    );
    const { objects } = await after.list("s3://flyte-data/");
    assert.ok(objects.length >= 20);
    for (const { uri } of objects) {
      const bytes = await store.get(uri);
      assert.equal(bytes.length, 50_000);
      assert.ok(bytes.every((byte) => byte === bytes[0]));
    }
    assert.equal(await after.head("s3://flyte-data/endless"), undefined);
  });
});

/** Writes objects for ever, and one that never ends. */
const WRITER = `
import { openFileStore } from "./file-store.ts";
const store = await openFileStore({ folder: process.argv[1], root: "s3://flyte-data" });
async function* endless() {
  for (;;) yield await new Promise((resolve) => setImmediate(resolve, Buffer.alloc(100)));
}
void store.put("s3://flyte-data/endless", endless());
for (let i = 0; ; i++) {
  await store.put("s3://flyte-data/dir/" + (i % 40), Buffer.alloc(50_000, i));
  if (i === 20) console.log("writing");
}
`;

function said(child: ChildProcess, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    child.stdout?.on("data", (chunk: Buffer) => {
      if (chunk.toString().includes(text)) resolve();
    });
    child.once("exit", (code) => reject(new Error(`the writer ended with ${code}`)));
  });
}
