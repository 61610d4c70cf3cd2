/**
 * The object store port: all bulk data of the product (inputs, outputs, errors, reports, bundles, logs) lives behind it
 * and is addressed by `s3://<bucket>/<key>` URIs, in rows and in task arguments alike.
 *
 * Promises of every adapter, held by `contract-suite.ts`: a put is atomic (readers see the old bytes or the new bytes,
 * never a part) and visible at once; lists are in byte order of the keys; absent objects are `undefined` on `head` and
 * {@link ObjectNotFoundError} elsewhere; all failures are the typed errors of `errors.ts`.
 */

/** Bytes to store: whole, or as they come (then memory stays small). A chunk once yielded must not be changed. */
export type ObjectBody = Uint8Array | AsyncIterable<Uint8Array>;

/** A byte range, both ends inclusive as in HTTP; without `end`, up to the last byte. */
export interface ByteRange {
  readonly start: number;
  readonly end?: number;
}

export interface PutOptions {
  readonly contentType?: string;
  /** The 16 bytes of the body's MD5; another body is refused with ContentMismatchError. */
  readonly contentMd5?: Uint8Array;
  /** User metadata: lower-case ASCII names, printable ASCII values. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Refuse with ObjectExistsError instead of replacing. */
  readonly ifAbsent?: boolean;
}

export interface PutResult {
  /** Opaque version tag of the content, without quotes. */
  readonly etag: string;
  readonly size: number;
}

export interface ObjectHead {
  readonly size: number;
  readonly etag: string;
  readonly lastModified: Date;
  readonly contentType?: string;
  /** MD5 of the whole content, where the store knows it (not for objects written in parts). */
  readonly md5?: Uint8Array;
  readonly metadata: Readonly<Record<string, string>>;
}

export interface GetOptions {
  readonly range?: ByteRange;
  /** Fail with ObjectTooLargeError rather than hold more bytes than this. */
  readonly maxBytes?: number;
}

/** An object being read. `size` is the whole object's; `start` and `end` (exclusive) say which bytes `body` yields. */
export interface ObjectStream extends ObjectHead {
  readonly start: number;
  readonly end: number;
  /** Read it once, to its end or `return()`; otherwise call `close`. */
  readonly body: AsyncIterable<Uint8Array>;
  /** Lets go of the object without reading on; harmless after the end. */
  close(): Promise<void>;
}

export interface ListedObject {
  readonly uri: string;
  readonly size: number;
  readonly lastModified: Date;
  readonly etag: string;
}

export interface ListOptions {
  /** Only what sorts after this URI, or the `next` of the page before. */
  readonly after?: string;
  /** Objects and prefixes together; at most 1000, the default. */
  readonly limit?: number;
  /** Keys that hold it after the prefix are folded into `prefixes`. */
  readonly delimiter?: string;
}

export interface ListPage {
  readonly objects: readonly ListedObject[];
  /** Folded prefixes, as URIs that end in the delimiter. */
  readonly prefixes: readonly string[];
  /** Give it as `after` for the next page; absent on the last one. */
  readonly next?: string;
}

export interface SignUploadOptions {
  readonly expiresInSeconds: number;
  /** Binds the URL to one content. Without it the URL works once. */
  readonly contentMd5?: Uint8Array;
  readonly contentType?: string;
}

export interface SignedUpload {
  readonly url: string;
  /** Headers the uploader must send with its PUT, besides Content-Length. */
  readonly headers: Readonly<Record<string, string>>;
  readonly expiresAt: Date;
}

export interface SignDownloadOptions {
  readonly expiresInSeconds: number;
  readonly contentType?: string;
  /** Offered to a browser as the name to save under. */
  readonly fileName?: string;
}

export interface SignedDownload {
  readonly url: string;
  readonly expiresAt: Date;
}

export interface ObjectStore {
  /** New objects go below this URI, e.g. `s3://flyte-data`; no trailing slash. */
  readonly root: string;
  put(uri: string, body: ObjectBody, options?: PutOptions): Promise<PutResult>;
  get(uri: string, options?: GetOptions): Promise<Uint8Array>;
  stream(uri: string, range?: ByteRange): Promise<ObjectStream>;
  head(uri: string): Promise<ObjectHead | undefined>;
  /** Objects whose URI begins with `prefixUri`, one page, in byte order. */
  list(prefixUri: string, options?: ListOptions): Promise<ListPage>;
  /** Absent objects count as deleted. */
  delete(uris: readonly string[]): Promise<void>;
  copy(from: string, to: string): Promise<void>;
  /** A URL that stores one object by HTTP PUT; it expires and cannot be altered. */
  signUpload(uri: string, options: SignUploadOptions): Promise<SignedUpload>;
  signDownload(uri: string, options: SignDownloadOptions): Promise<SignedDownload>;
  /** Readiness: really touches the store, throws StoreUnavailableError or StoreFullError. */
  check(signal?: AbortSignal): Promise<void>;
  close(): Promise<void>;
}

/** Most objects and prefixes in one page of a list. */
export const MAX_LIST_LIMIT = 1000;
/** Longest life of an upload URL. */
export const MAX_UPLOAD_SECONDS = 3600;
/** Longest life of any signed URL, as in S3. */
export const MAX_SIGNED_SECONDS = 7 * 24 * 3600;
