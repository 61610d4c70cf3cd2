/**
 * What every object store adapter must do, as node:test tests. An adapter's test file calls this with a factory; each
 * test works below its own prefix, so a store may be shared.
 */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { after, before, describe, it } from "node:test";
import {
  ContentMismatchError,
  InvalidKeyError,
  ObjectExistsError,
  ObjectNotFoundError,
  ObjectTooLargeError,
} from "./errors.ts";
import type { ObjectStore } from "./object-store.ts";
import { joinUri } from "./uri.ts";

/** A store under test, and how to let go of it. */
export interface StoreUnderTest {
  readonly store: ObjectStore;
  close(): Promise<void>;
}

export interface SuiteOptions {
  /** False when the server behind does not check signatures (moto) or there is no server at all. */
  readonly signedUrls: boolean;
  /** False for servers that lack conditional writes. */
  readonly ifAbsent?: boolean;
  /** False for servers that lose line breaks in keys. */
  readonly lineBreaks?: boolean;
  /** Why the whole suite is skipped. */
  readonly skip?: string | false;
}

/** Keys that file systems and URLs like to get wrong. */
const AWKWARD_KEYS = [
  "a",
  "a/b",
  "a/b/c.txt",
  "A",
  "a b+c&d=e?f#g",
  "é+%",
  "e\u0301 decomposed",
  "\u00e9 composed",
  "100%/%2e%2e/x",
  "…/日本語/😀",
  "<xml>&amp;\"'",
  "!bang/~tilde/+plus/%",
  "con/.hidden/...",
  "trailing.",
  "tab\tand newline\n",
  `${"long".repeat(75)}/${"é".repeat(150)}/x`,
  `${"x".repeat(80)}`,
  `${"x".repeat(80)}/y`,
  `${"x".repeat(80)}!z`,
  `${"x".repeat(78)}..`,
  `${"x".repeat(80)}..`,
];

/** Registers the suite. */
export function objectStoreContract(
  name: string,
  open: () => Promise<StoreUnderTest>,
  suite: SuiteOptions = { signedUrls: false },
): void {
  describe(`object store contract: ${name}`, { skip: suite.skip ?? false }, () => {
    let opened: StoreUnderTest;
    let store: ObjectStore;
    before(async () => {
      opened = await open();
      store = opened.store;
    });
    after(async () => {
      await opened?.close();
    });
    const fresh = () => joinUri(store.root, `t-${randomBytes(6).toString("hex")}`);

    it("gives back what was put, and sees a replacement at once", async () => {
      const uri = joinUri(fresh(), "dir", "object");
      const first = await store.put(uri, Buffer.from("one"));
      assert.equal(first.size, 3);
      assert.equal(text(await store.get(uri)), "one");
      const second = await store.put(uri, Buffer.from("second"));
      assert.notEqual(second.etag, first.etag);
      assert.equal(text(await store.get(uri)), "second");
      assert.equal((await store.head(uri))?.size, 6);
    });

    it("keeps content type and metadata, and forgets them with a replacement", async () => {
      const uri = joinUri(fresh(), "report.html");
      const before = Date.now();
      const put = await store.put(uri, Buffer.from("<p>"), {
        contentType: "text/html",
        metadata: { content_type: "text/html", "some-name": "a value" },
      });
      const head = await store.head(uri);
      assert.equal(head?.contentType, "text/html");
      assert.deepEqual({ ...head?.metadata }, { content_type: "text/html", "some-name": "a value" });
      assert.equal(head?.etag, put.etag);
      assert.ok(Math.abs((head?.lastModified.getTime() ?? 0) - before) < 3_600_000);
      assert.deepEqual(Buffer.from(head?.md5 ?? []), md5("<p>"));
      await store.put(uri, Buffer.from("plain"));
      assert.deepEqual({ ...(await store.head(uri))?.metadata }, {});
    });

    it("holds empty objects", async () => {
      const uri = joinUri(fresh(), "empty");
      await store.put(uri, new Uint8Array());
      assert.equal((await store.head(uri))?.size, 0);
      assert.equal((await store.get(uri)).length, 0);
    });

    it("streams a large object in and out", async () => {
      const uri = joinUri(fresh(), "large");
      const block = randomBytes(1 << 20);
      const total = 12 * block.length + 17;
      const result = await store.put(uri, chunks(block, 12));
      assert.equal(result.size, total);
      const stream = await store.stream(uri);
      assert.deepEqual([stream.size, stream.start, stream.end], [total, 0, total]);
      const hash = createHash("sha256");
      for await (const chunk of stream.body) hash.update(chunk);
      const expected = createHash("sha256");
      for await (const chunk of chunks(block, 12)) expected.update(chunk);
      assert.equal(hash.digest("hex"), expected.digest("hex"));
      const tail = await store.get(uri, { range: { start: total - 20 } });
      assert.equal(text(tail.subarray(3)), "the last seventeen".slice(0, 17));
    });

    it("reads ranges, clamped to the object", async () => {
      const uri = joinUri(fresh(), "digits");
      await store.put(uri, Buffer.from("0123456789"));
      const read = async (start: number, end?: number) =>
        text(await store.get(uri, { range: end === undefined ? { start } : { start, end } }));
      assert.equal(await read(0, 0), "0");
      assert.equal(await read(2, 5), "2345");
      assert.equal(await read(7), "789");
      assert.equal(await read(8, 1000), "89");
      assert.equal(await read(10), "");
      const stream = await store.stream(uri, { start: 2, end: 4 });
      assert.deepEqual([stream.size, stream.start, stream.end], [10, 2, 5]);
      await stream.close();
      await stream.close();
    });

    it("refuses to hold more than the caller wants", async () => {
      const uri = joinUri(fresh(), "big");
      await store.put(uri, Buffer.alloc(1000));
      await assert.rejects(store.get(uri, { maxBytes: 999 }), (error: unknown) => {
        assert.ok(error instanceof ObjectTooLargeError);
        assert.deepEqual([error.size, error.limit, error.uri], [1000, 999, uri]);
        return true;
      });
      assert.equal((await store.get(uri, { maxBytes: 1000 })).length, 1000);
      assert.equal((await store.get(uri, { maxBytes: 10, range: { start: 0, end: 9 } })).length, 10);
    });

    it("says which object is missing", async () => {
      const uri = joinUri(fresh(), "nothing");
      const missing = (error: unknown) => error instanceof ObjectNotFoundError && error.message.includes(uri);
      assert.equal(await store.head(uri), undefined);
      await assert.rejects(store.get(uri), missing);
      await assert.rejects(store.stream(uri), missing);
      await assert.rejects(store.copy(uri, joinUri(fresh(), "copy")), missing);
      await store.delete([uri]);
    });

    it("stores nothing when the body fails or is not what was announced", async () => {
      const uri = joinUri(fresh(), "broken");
      const failing = async function* () {
        yield Buffer.from("some");
        throw new Error("the source broke");
      };
      await assert.rejects(store.put(uri, failing()), /the source broke/);
      await assert.rejects(
        store.put(uri, Buffer.from("b"), { contentMd5: md5("a") }),
        (error: unknown) => error instanceof ContentMismatchError,
      );
      assert.equal(await store.head(uri), undefined);
      await store.put(uri, Buffer.from("a"), { contentMd5: md5("a") });
      assert.equal(text(await store.get(uri)), "a");
    });

    it("writes only when absent, once, under competition", { skip: suite.ifAbsent === false }, async () => {
      const uri = joinUri(fresh(), "once");
      const results = await Promise.allSettled(
        Array.from({ length: 8 }, (_, i) => store.put(uri, Buffer.from(`writer ${i}`), { ifAbsent: true })),
      );
      const winners = results.flatMap((result, i) => (result.status === "fulfilled" ? [i] : []));
      assert.equal(winners.length, 1);
      for (const result of results) {
        if (result.status === "rejected") assert.ok(result.reason instanceof ObjectExistsError, String(result.reason));
      }
      assert.equal(text(await store.get(uri)), `writer ${winners[0]}`);
    });

    it("readers see whole objects while writers replace and delete them", async () => {
      const uri = joinUri(fresh(), "contended", "object");
      const versions = ["a", "b", "c"].map((letter) => Buffer.from(letter.repeat(100_000)));
      await Promise.all([
        ...versions.map(async (version) => {
          for (let i = 0; i < 10; i++) {
            await store.put(uri, version);
            if (i % 3 === 0) await store.delete([uri]);
          }
        }),
        (async () => {
          for (let i = 0; i < 30; i++) {
            const seen = await store.get(uri).catch((error: unknown) => {
              assert.ok(error instanceof ObjectNotFoundError, String(error));
              return undefined;
            });
            if (seen !== undefined) assert.ok(versions.some((version) => version.equals(seen)));
          }
        })(),
      ]);
    });

    it("keeps awkward keys apart, and lists them in byte order, in pages of any size", async () => {
      const base = fresh();
      const keys = AWKWARD_KEYS.filter((key) => suite.lineBreaks !== false || !key.includes("\n"));
      await Promise.all(keys.map((key) => store.put(`${base}/${key}`, Buffer.from(key))));
      for (const key of keys) assert.equal(text(await store.get(`${base}/${key}`)), key);
      const expected = keys
        .map((key) => `${base}/${key}`)
        .sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
      for (const limit of [1, 2, 5, 1000]) {
        const { uris, pages } = await listAll(store, `${base}/`, { limit });
        assert.deepEqual(uris, expected);
        assert.ok(pages >= expected.length / limit);
      }
      for (const uri of expected) {
        const { uris } = await listAll(store, `${base}/`, { after: uri });
        assert.deepEqual(uris, expected.slice(expected.indexOf(uri) + 1));
      }
    });

    it("lists by any prefix and folds at the delimiter", async () => {
      const base = fresh();
      const keys = ["a/1", "a/2", "a/b/3", "a-", "a0", "ab/4", "b"];
      for (const key of keys) await store.put(`${base}/${key}`, Buffer.from(key));
      const list = async (prefix: string, options: { delimiter?: string; limit?: number } = {}) => {
        const { uris, prefixes } = await listAll(store, `${base}/${prefix}`, options);
        return [uris, prefixes].map((all) => all.map((uri) => uri.slice(base.length + 1)));
      };
      for (const limit of [1, 2, 1000]) {
        assert.deepEqual(await list("", { delimiter: "/", limit }), [
          ["a-", "a0", "b"],
          ["a/", "ab/"],
        ]);
        assert.deepEqual(await list("a/", { delimiter: "/", limit }), [["a/1", "a/2"], ["a/b/"]]);
        assert.deepEqual(await list("a/b", { delimiter: "/", limit }), [[], ["a/b/"]]);
        assert.deepEqual(await list("a", { limit }), [["a-", "a/1", "a/2", "a/b/3", "a0", "ab/4"], []]);
        assert.deepEqual(await list("nothing", { limit }), [[], []]);
      }
      const [page] = [await store.list(`${base}/`, { limit: 1 })];
      assert.equal(page.objects[0]?.size, 2);
      assert.equal(page.objects[0]?.etag, (await store.head(`${base}/a-`))?.etag);
      await store.delete([`${base}/a/b/3`]);
      assert.deepEqual(await list("a/b", { delimiter: "/" }), [[], []]);
    });

    it("copies content and metadata", async () => {
      const [from, to] = [joinUri(fresh(), "é+% from"), joinUri(fresh(), "to")];
      await store.put(from, Buffer.from("copied"), { contentType: "text/x-c", metadata: { k: "v" } });
      await store.copy(from, to);
      await store.put(from, Buffer.from("changed"));
      const head = await store.head(to);
      assert.equal(text(await store.get(to)), "copied");
      assert.equal(head?.contentType, "text/x-c");
      assert.deepEqual({ ...head?.metadata }, { k: "v" });
    });

    it("deletes many, present or not", async () => {
      const base = fresh();
      const uris = Array.from({ length: 12 }, (_, i) => `${base}/<&>/${i}`);
      for (const uri of uris.slice(0, 6)) await store.put(uri, Buffer.from("x"));
      await store.put(`${base}/kept`, Buffer.from("x"));
      await store.delete(uris);
      await store.delete([]);
      assert.deepEqual((await listAll(store, `${base}/`)).uris, [`${base}/kept`]);
    });

    it("refuses addresses that could leave the bucket", async () => {
      const bucket = store.root.split("/").slice(0, 3).join("/");
      const bad = [
        `${bucket}/../other/key`,
        `${bucket}/a/../../x`,
        `${bucket}/a/./b`,
        `${bucket}//etc/passwd`,
        `${bucket}/a//b`,
        `${bucket}/a\0b`,
        `${bucket}/${"k".repeat(1025)}`,
        `${bucket}/\ud800`,
        bucket,
        `${bucket}/`,
        "s3://../x",
        "s3://UPPER/x",
        "s3:///x",
        "/etc/passwd",
        "file:///etc/passwd",
        "",
      ];
      const invalid = (error: unknown) => error instanceof InvalidKeyError;
      const good = joinUri(fresh(), "good");
      await store.put(good, Buffer.from("good"));
      for (const uri of bad) {
        await assert.rejects(async () => store.put(uri, Buffer.from("x")), invalid, uri);
        await assert.rejects(async () => store.get(uri), invalid, uri);
        await assert.rejects(async () => store.head(uri), invalid, uri);
        await assert.rejects(async () => store.copy(uri, good), invalid, uri);
        await assert.rejects(async () => store.copy(good, uri), invalid, uri);
        await assert.rejects(async () => store.delete([good, uri]), invalid, uri);
        await assert.rejects(async () => store.signUpload(uri, { expiresInSeconds: 60 }), invalid, uri);
        await assert.rejects(async () => store.signDownload(uri, { expiresInSeconds: 60 }), invalid, uri);
      }
      assert.equal(text(await store.get(good)), "good");
    });

    it("is ready", async () => {
      await store.check();
    });

    if (!suite.signedUrls) return;
    it("signs uploads and downloads", async () => {
      const uri = joinUri(fresh(), "up loads", "é+%.bin");
      const upload = await store.signUpload(uri, { expiresInSeconds: 60, contentMd5: md5("signed") });
      assert.ok(upload.expiresAt.getTime() > Date.now());
      const send = (body: string) => fetch(upload.url, { method: "PUT", headers: upload.headers, body });
      assert.ok([400, 403].includes((await send("other!")).status));
      assert.equal(await store.head(uri), undefined);
      assert.ok([200, 201, 204].includes((await send("signed")).status));
      assert.equal(text(await store.get(uri)), "signed");
      const download = await store.signDownload(uri, {
        expiresInSeconds: 60,
        contentType: "text/plain",
        fileName: "näme.txt",
      });
      const answer = await fetch(download.url);
      assert.equal(answer.status, 200);
      assert.equal(answer.headers.get("content-type"), "text/plain");
      assert.match(answer.headers.get("content-disposition") ?? "", /attachment.*n%C3%A4me\.txt/);
      assert.equal(await answer.text(), "signed");
    });
  });
}

interface Listed {
  readonly uris: string[];
  readonly prefixes: string[];
  readonly pages: number;
}

async function listAll(
  store: ObjectStore,
  prefix: string,
  options: { after?: string; limit?: number; delimiter?: string } = {},
): Promise<Listed> {
  const uris: string[] = [];
  const prefixes: string[] = [];
  for (let pages = 1, after = options.after; ; pages++) {
    const page = await store.list(prefix, { ...options, ...(after !== undefined && { after }) });
    uris.push(...page.objects.map((object) => object.uri));
    prefixes.push(...page.prefixes);
    if (page.next === undefined) return { uris, prefixes, pages };
    after = page.next;
  }
}

async function* chunks(block: Uint8Array, count: number): AsyncGenerator<Uint8Array> {
  for (let i = 0; i < count; i++) yield block;
  yield Buffer.from("the last seventeen".slice(0, 17));
}

function md5(content: string): Buffer {
  return createHash("md5").update(content).digest();
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("utf8");
}
