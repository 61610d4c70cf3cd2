/**
 * Object store over any S3: AWS, MinIO, Ceph, versitygw, or our own embedded endpoint.
 *
 * @example
 * const store = openS3Store({ root: "s3://flyte-data/prod", endpoint: "http://minio:9000", pathStyle: true });
 */
import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import {
  CopyObjectCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type PutObjectCommandInput,
} from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";
import {
  ContentMismatchError,
  InvalidKeyError,
  ObjectNotFoundError,
  ObjectTooLargeError,
  StoreUnavailableError,
} from "../errors.ts";
import {
  type ByteRange,
  type ListOptions,
  type ListPage,
  MAX_LIST_LIMIT,
  type ObjectBody,
  type ObjectStore,
  type ObjectStream,
  type PutOptions,
  type PutResult,
} from "../object-store.ts";
import { type ObjectAddress, objectUri, parseObjectUri, parsePrefixUri, uriEncodePath } from "../uri.ts";
import { makeClient, type S3StoreOptions } from "./client.ts";
import { contentRangeSize, decodeListed, toHead, unquote } from "./s3-answers.ts";
import { isInvalidRange, toStoreError } from "./s3-errors.ts";
import { signDownload, signUpload } from "./sign.ts";

/** Larger bodies go in parts of this size, a few at a time. */
const PART_SIZE = 8 * 1024 * 1024;
const PARTS_AT_ONCE = 4;
/** Sorts after every key that begins with what stands before it. */
const LAST_CHARACTER = "\u{10ffff}";

export function openS3Store(options: S3StoreOptions): ObjectStore {
  const root = options.root.replace(/\/+$/, "");
  const buckets = new Set([parsePrefixUri(root).bucket, ...(options.buckets ?? [])]);
  const where = options.endpoint ?? "AWS S3";
  const client = makeClient(options, options.endpoint);
  const signingClient = options.publicEndpoint === undefined ? client : makeClient(options, options.publicEndpoint);

  function address(uri: string, parse: (uri: string) => ObjectAddress = parseObjectUri) {
    const { bucket, key } = parse(uri);
    if (buckets.has(bucket)) return { Bucket: bucket, Key: key };
    throw new InvalidKeyError(uri, `this store works in ${[...buckets].join(", ")} only, not in ${bucket}`);
  }

  async function guarded<T>(uri: string, act: () => Promise<T>): Promise<T> {
    try {
      return await act();
    } catch (error) {
      throw error instanceof RangeError ? error : toStoreError(error, uri, where);
    }
  }

  /** A write needs no object to be there, so a "not found" is about the server. */
  async function writing<T>(uri: string, act: () => Promise<T>): Promise<T> {
    return guarded(uri, act).catch((error: unknown) => {
      if (!(error instanceof ObjectNotFoundError)) throw error;
      throw new StoreUnavailableError(uri, `${where} knows no such place (404); check the URL`, { cause: error });
    });
  }

  async function put(uri: string, body: ObjectBody, putOptions: PutOptions = {}): Promise<PutResult> {
    const { contentMd5, contentType, metadata, ifAbsent } = putOptions;
    const input: PutObjectCommandInput = {
      ...address(uri),
      ...(contentType !== undefined && { ContentType: contentType }),
      ...(metadata !== undefined && { Metadata: { ...metadata } }),
      ...(ifAbsent === true && { IfNoneMatch: "*" }),
    };
    if (body instanceof Uint8Array && body.length <= PART_SIZE) {
      // Checked here and again by servers that do check it.
      if (contentMd5 !== undefined && !createHash("md5").update(body).digest().equals(contentMd5)) {
        throw new ContentMismatchError(uri, "Content-MD5");
      }
      const ContentMD5 = contentMd5 && Buffer.from(contentMd5).toString("base64");
      const command = new PutObjectCommand({ ...input, Body: body, ...(ContentMD5 !== undefined && { ContentMD5 }) });
      const answer = await writing(uri, () => client.send(command));
      return { etag: unquote(answer.ETag), size: body.length };
    }
    return putInParts(uri, body instanceof Uint8Array ? slices(body) : body, input, contentMd5);
  }

  async function putInParts(
    uri: string,
    body: AsyncIterable<Uint8Array>,
    input: PutObjectCommandInput,
    contentMd5: Uint8Array | undefined,
  ): Promise<PutResult> {
    let size = 0;
    let sourceError: { readonly error: unknown } | undefined;
    async function* counted(): AsyncGenerator<Uint8Array> {
      const hash = contentMd5 && createHash("md5");
      try {
        for await (const chunk of body) {
          size += chunk.length;
          hash?.update(chunk);
          yield chunk;
        }
        // Thrown before the last part is complete, so that nothing becomes visible.
        if (hash && !hash.digest().equals(contentMd5)) throw new ContentMismatchError(uri, "Content-MD5");
      } catch (error) {
        sourceError = { error };
        throw error;
      }
    }
    const upload = new Upload({
      client,
      params: { ...input, Body: Readable.from(counted(), { objectMode: false }) },
      partSize: PART_SIZE,
      queueSize: PARTS_AT_ONCE,
    });
    try {
      const answer = await writing(uri, () => upload.done());
      return { etag: unquote(answer.ETag), size };
    } catch (error) {
      throw sourceError === undefined ? error : sourceError.error;
    }
  }

  async function stream(uri: string, range?: ByteRange): Promise<ObjectStream> {
    const asked = address(uri);
    if (range !== undefined && (!(range.start >= 0) || (range.end !== undefined && range.end < range.start))) {
      throw new RangeError(`a byte range needs 0 <= start <= end, got ${range.start}-${range.end ?? ""}`);
    }
    try {
      const Range = range && `bytes=${range.start}-${range.end ?? ""}`;
      const answer = await client.send(new GetObjectCommand({ ...asked, ...(Range !== undefined && { Range }) }));
      const body = answer.Body as Readable;
      const length = answer.ContentLength ?? 0;
      const size = contentRangeSize(answer.ContentRange) ?? length;
      const start = answer.ContentRange === undefined ? 0 : (range?.start ?? 0);
      const close = async () => {
        body.destroy();
      };
      return { ...toHead(answer), size, start, end: start + length, body: reading(uri, body), close };
    } catch (error) {
      if (range === undefined || !isInvalidRange(error)) throw toStoreError(error, uri, where);
      const head = await guarded(uri, async () => toHead(await client.send(new HeadObjectCommand(asked))));
      return { ...head, start: head.size, end: head.size, body: nothing(), close: async () => {} };
    }
  }

  async function* reading(uri: string, body: Readable): AsyncGenerator<Uint8Array> {
    try {
      for await (const chunk of body) yield chunk as Uint8Array;
    } catch (error) {
      throw toStoreError(error, uri, where);
    } finally {
      body.destroy();
    }
  }

  async function list(prefixUri: string, listOptions: ListOptions = {}): Promise<ListPage> {
    const { Bucket, Key: Prefix } = address(prefixUri, parsePrefixUri);
    const { after, delimiter, limit = MAX_LIST_LIMIT } = listOptions;
    const answer = await guarded(prefixUri, () =>
      client.send(
        new ListObjectsV2Command({
          Bucket,
          Prefix,
          EncodingType: "url",
          MaxKeys: Math.min(Math.max(limit, 1), MAX_LIST_LIMIT),
          ...(delimiter !== undefined && { Delimiter: delimiter }),
          ...(after !== undefined && { StartAfter: startAfter(address(after, parsePrefixUri).Key, Prefix, delimiter) }),
        }),
      ),
    );
    const decode = (text: string | undefined) => objectUri(Bucket, decodeListed(text, answer.EncodingType));
    const objects = (answer.Contents ?? []).map((object) => ({
      uri: decode(object.Key),
      size: object.Size ?? 0,
      lastModified: object.LastModified ?? new Date(0),
      etag: unquote(object.ETag),
    }));
    const prefixes = (answer.CommonPrefixes ?? []).map((common) => decode(common.Prefix));
    if (answer.IsTruncated !== true) return { objects, prefixes };
    const ends = [objects.at(-1)?.uri, prefixes.at(-1)].filter((uri) => uri !== undefined);
    const next = ends.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))).at(-1);
    if (next === undefined) throw new StoreUnavailableError(prefixUri, `${where} sent an empty page of a longer list`);
    return { objects, prefixes, next };
  }

  return {
    root,
    put,
    stream,
    list,
    async get(uri, { range, maxBytes } = {}) {
      const opened = await stream(uri, range);
      const length = opened.end - opened.start;
      if (maxBytes !== undefined && length > maxBytes) {
        await opened.close();
        throw new ObjectTooLargeError(uri, length, maxBytes);
      }
      const chunks: Uint8Array[] = [];
      for await (const chunk of opened.body) chunks.push(chunk);
      return chunks.length === 1 ? (chunks[0] as Uint8Array) : Buffer.concat(chunks);
    },
    async head(uri) {
      const asked = address(uri);
      try {
        return toHead(await client.send(new HeadObjectCommand(asked)));
      } catch (error) {
        const mapped = toStoreError(error, uri, where);
        if (mapped.code === "not_found") return undefined;
        throw mapped;
      }
    },
    async delete(uris) {
      const byBucket = new Map<string, string[]>();
      for (const { Bucket, Key } of uris.map((uri) => address(uri))) {
        byBucket.set(Bucket, [...(byBucket.get(Bucket) ?? []), Key]);
      }
      for (const [Bucket, keys] of byBucket) {
        for (let at = 0; at < keys.length; at += 1000) {
          const Objects = keys.slice(at, at + 1000).map((Key) => ({ Key }));
          const command = new DeleteObjectsCommand({ Bucket, Delete: { Objects, Quiet: true } });
          const answer = await guarded(objectUri(Bucket, keys[at] as string), () => client.send(command));
          const failed = answer.Errors?.[0];
          if (failed === undefined) continue;
          const uri = objectUri(Bucket, failed.Key ?? "");
          throw new StoreUnavailableError(uri, `it was not deleted: ${failed.Code} ${failed.Message}`);
        }
      }
    },
    async copy(from, to) {
      const source = address(from);
      const target = address(to);
      const CopySource = `${source.Bucket}/${uriEncodePath(source.Key)}`;
      await guarded(from, () => client.send(new CopyObjectCommand({ ...target, CopySource })));
    },
    async signUpload(uri, signOptions) {
      const input = address(uri);
      return guarded(uri, () => signUpload(signingClient, input, signOptions));
    },
    async signDownload(uri, signOptions) {
      const input = address(uri);
      return guarded(uri, () => signDownload(signingClient, input, signOptions));
    },
    async check(signal) {
      const { Bucket, Key: Prefix } = address(root, parsePrefixUri);
      const command = new ListObjectsV2Command({ Bucket, Prefix, MaxKeys: 1 });
      await guarded(root, () => client.send(command, { ...(signal !== undefined && { abortSignal: signal }) }));
    },
    async close() {
      client.destroy();
      signingClient.destroy();
    },
  };
}

/** Keeps a page from answering a folded prefix again, on which servers differ. */
function startAfter(after: string, prefix: string, delimiter: string | undefined): string {
  const folded = delimiter !== undefined && after.length > prefix.length && after.endsWith(delimiter);
  return folded ? after + LAST_CHARACTER : after;
}

async function* slices(body: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < body.length; at += 1 << 20) yield body.subarray(at, at + (1 << 20));
}

async function* nothing(): AsyncGenerator<Uint8Array> {}
