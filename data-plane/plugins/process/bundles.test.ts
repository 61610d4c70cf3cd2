/** The bundle cache on a real file store: unpacked once, copied each time, never in the way. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, readlink, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { openFileStore } from "@flyte-ts/platform/object-store";
import { bundleCache } from "./bundles.ts";

async function fixture(t: TestContext, keep?: number) {
  const root = await mkdtemp(join(tmpdir(), "flyte-ts-bundles-"));
  const files = await openFileStore({ folder: join(root, "objects"), root: "s3://flyte-data", sync: "none" });
  t.after(async () => {
    await files.close();
    await rm(root, { recursive: true, force: true });
  });
  let streams = 0;
  const objectStore = {
    head: files.head,
    stream: (uri: string) => {
      streams += 1;
      return files.stream(uri);
    },
  };
  const cache = bundleCache({ folder: join(root, "bundles"), objectStore, ...(keep ? { keep } : {}) });
  let works = 0;
  return {
    root,
    get streams() {
      return streams;
    },
    async upload(name: string, text: string): Promise<string[]> {
      const code = await mkdtemp(join(root, "code-"));
      await writeFile(join(code, "main.py"), text);
      await symlink("main.py", join(code, "link.py"));
      execFileSync("tar", ["-czf", join(code, name), "-C", code, "main.py", "link.py"]);
      const uri = `s3://flyte-data/uploads/${name}`;
      await files.put(uri, await readFile(join(code, name)));
      return ["a0", "--tgz", uri, "--dest", "."];
    },
    async place(argv: string[]): Promise<string> {
      works += 1;
      const work = join(root, `work${works}`);
      await mkdir(work);
      await cache.place(argv, work);
      return work;
    },
  };
}

test("a bundle is fetched once; each attempt has a copy of its own and the marker", async (t) => {
  const f = await fixture(t);
  const argv = await f.upload("fast1.tar.gz", "one");
  const [first, second] = await Promise.all([f.place(argv), f.place(argv)]);
  assert.ok(first && second);
  await writeFile(join(first, "main.py"), "changed by a task");
  const third = await f.place(argv);
  for (const work of [second, third]) assert.equal(await readFile(join(work, "main.py"), "utf8"), "one");
  assert.equal(await readlink(join(third, "link.py")), "main.py");
  assert.ok(existsSync(join(third, ".fast1.tar.gz.extracted")));
  assert.equal(f.streams, 1);
});

test("another content under the same name is another bundle", async (t) => {
  const f = await fixture(t);
  await f.place(await f.upload("fast1.tar.gz", "one"));
  const work = await f.place(await f.upload("fast1.tar.gz", "two"));
  assert.equal(await readFile(join(work, "main.py"), "utf8"), "two");
});

test("a missing bundle is an error and leaves no marker; old bundles go", async (t) => {
  const f = await fixture(t, 2);
  await assert.rejects(f.place(["a0", "--tgz", "s3://flyte-data/uploads/none.tar.gz"]), /does not exist/);
  for (const name of ["a", "b", "c", "d"]) await f.place(await f.upload(`${name}.tar.gz`, name));
  assert.equal((await readdir(join(f.root, "bundles"))).length, 2);
});
