/**
 * Object store over a folder of this machine: the default of the one-machine mode.
 *
 * Every object is one file (`trailer.ts`) at a path made from its key (`key-path.ts`); a put is one rename. Several
 * processes of one machine may share the folder. Signed URLs point at the embedded S3 endpoint, so they need a signer.
 *
 * @example
 * const store = await openFileStore({ folder: "/var/lib/flyte-ts/objects", root: "s3://flyte-data" });
 * await store.put("s3://flyte-data/hello", Buffer.from("world"));
 */
import { mkdir, rm, statfs, unlink, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { InvalidKeyError, ObjectNotFoundError, StoreUnavailableError } from "../errors.ts";
import {
  type ListedObject,
  type ListOptions,
  type ListPage,
  MAX_LIST_LIMIT,
  type ObjectBody,
  type ObjectStore,
  type PutResult,
  type SignDownloadOptions,
  type SignedDownload,
  type SignedUpload,
  type SignUploadOptions,
} from "../object-store.ts";
import { objectUri, parseObjectUri, parsePrefixUri } from "../uri.ts";
import { errorCode, type Layout, openLayout, toStoreError } from "./layout.ts";
import { collect, type FileObjectHead, headObject, streamObject } from "./read.ts";
import { walk } from "./walk.ts";
import { type Sync, type WriteOptions, writeObject } from "./write.ts";

/** Makes the URLs that the embedded S3 endpoint accepts. */
export interface UrlSigner {
  upload(uri: string, options: SignUploadOptions): SignedUpload;
  download(uri: string, options: SignDownloadOptions): SignedDownload;
}

export interface FileStoreOptions {
  /** Made when absent. */
  readonly folder: string;
  /** Where new objects go; its bucket is held by the store. */
  readonly root: string;
  /** More buckets to hold. */
  readonly buckets?: readonly string[];
  /** Default `data`. */
  readonly sync?: Sync;
  readonly signer?: UrlSigner;
}

/** A file store; the embedded endpoint uses what goes beyond the port. */
export interface FileStore extends ObjectStore {
  readonly layout: Layout;
  readonly sync: Sync;
  put(uri: string, body: ObjectBody, options?: WriteOptions): Promise<PutResult>;
  head(uri: string): Promise<FileObjectHead | undefined>;
}

/** Opens the folder, makes what is missing and sweeps what crashed processes left. */
export async function openFileStore(options: FileStoreOptions): Promise<FileStore> {
  const { signer, sync = "data" } = options;
  const root = options.root.replace(/\/+$/, "");
  const layout = await openLayout(options.folder, [parsePrefixUri(root).bucket, ...(options.buckets ?? [])]);

  async function guarded<T>(uri: string, act: () => Promise<T>): Promise<T> {
    try {
      return await act();
    } catch (error) {
      throw toStoreError(error, uri, layout.folder);
    }
  }

  async function put(uri: string, body: ObjectBody, putOptions?: WriteOptions): Promise<PutResult> {
    return guarded(uri, () => writeObject(layout, sync, uri, body, putOptions));
  }

  async function stream(uri: string, range?: Parameters<ObjectStore["stream"]>[1]) {
    return guarded(uri, async () => {
      const opened = await streamObject(layout, uri, range);
      if (opened === undefined) throw new ObjectNotFoundError(uri);
      return opened;
    });
  }

  async function list(prefixUri: string, listOptions: ListOptions = {}): Promise<ListPage> {
    const { bucket, key: prefix } = parsePrefixUri(prefixUri);
    const { after: afterUri, delimiter, limit = MAX_LIST_LIMIT } = listOptions;
    const after = afterUri === undefined ? undefined : keyIn(bucket, afterUri);
    const wanted = Math.min(Math.max(limit, 1), MAX_LIST_LIMIT);
    const found: (Promise<ListedObject | undefined> | string)[] = [];
    let last = "";
    let more = false;
    const walked = walk(layout.bucketPath(prefixUri), {
      prefix,
      ...(after !== undefined && { after }),
      ...(delimiter !== undefined && { delimiter }),
    });
    for await (const item of walked) {
      more = found.length === wanted;
      if (more) break;
      last = objectUri(bucket, "key" in item ? item.key : item.prefix);
      const object = "key" in item ? listed(last) : last;
      // Its failure is heard below; until then it must not count as unhandled.
      if (typeof object !== "string") object.catch(() => {});
      found.push(object);
      // Bounds the open files: the heads of at most this many objects are read at once.
      if (found.length % 32 === 0) await Promise.all(found);
    }
    const objects: ListedObject[] = [];
    const prefixes: string[] = [];
    for (const item of await Promise.all(found)) {
      if (typeof item === "string") prefixes.push(item);
      else if (item !== undefined) objects.push(item);
    }
    return { objects, prefixes, ...(more && { next: last }) };
  }

  /** Absent when the object was deleted while the list was made. */
  async function listed(uri: string): Promise<ListedObject | undefined> {
    const head = await headObject(layout, uri);
    return head && { uri, size: head.size, lastModified: head.lastModified, etag: head.etag };
  }

  async function remove(uri: string): Promise<void> {
    const path = layout.objectPath(uri);
    try {
      await layout.guard(uri, path);
      await unlink(path);
    } catch (error) {
      const code = errorCode(error);
      if (code !== "ENOENT" && code !== "ENOTDIR") throw error;
    }
    await layout.prune(path);
  }

  return {
    root,
    layout,
    sync,
    put,
    stream,
    async get(uri, getOptions = {}) {
      const opened = await stream(uri, getOptions.range);
      return guarded(uri, () => collect(uri, opened, getOptions.maxBytes));
    },
    async head(uri) {
      return guarded(uri, () => headObject(layout, uri));
    },
    async list(prefixUri, listOptions) {
      return guarded(prefixUri, () => list(prefixUri, listOptions));
    },
    async delete(uris) {
      // All addresses are judged before the first object goes.
      for (const uri of uris) layout.objectPath(uri);
      for (const uri of uris) await guarded(uri, () => remove(uri));
    },
    async copy(from, to) {
      layout.objectPath(to);
      const source = await stream(from);
      await put(to, source.body, {
        metadata: source.metadata,
        etag: () => source.etag,
        ...(source.contentType !== undefined && { contentType: source.contentType }),
      });
    },
    async signUpload(uri, signOptions) {
      parseObjectUri(uri);
      layout.bucketPath(uri);
      return (signer ?? noSigner(uri)).upload(uri, signOptions);
    },
    async signDownload(uri, signOptions) {
      parseObjectUri(uri);
      layout.bucketPath(uri);
      return (signer ?? noSigner(uri)).download(uri, signOptions);
    },
    async check() {
      await guarded(root, async () => {
        const probe = layout.temp();
        try {
          await mkdir(dirname(probe), { recursive: true });
          await writeFile(probe, "ready?", { flag: "wx" });
        } finally {
          await rm(probe, { force: true });
        }
        const { bavail } = await statfs(layout.bucketPath(root));
        if (bavail === 0) throw Object.assign(new Error("no free blocks"), { code: "ENOSPC" });
      });
    },
    async close() {
      await layout.close();
    },
  };
}

function keyIn(bucket: string, uri: string): string {
  const address = parsePrefixUri(uri);
  if (address.bucket === bucket) return address.key;
  throw new InvalidKeyError(uri, `a list of bucket ${bucket} cannot go on after another bucket's key`);
}

function noSigner(uri: string): never {
  throw new StoreUnavailableError(uri, "this store was opened without an endpoint, so it has no URLs to give out");
}
