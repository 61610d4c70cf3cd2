/** Operations on one object: PUT, copy, GET, HEAD, DELETE. */
import type { ServerResponse } from "node:http";
import { ObjectExistsError } from "../errors.ts";
import type { FileStore } from "../file/index.ts";
import type { ObjectHead } from "../object-store.ts";
import { objectUri } from "../uri.ts";
import type { Authenticated } from "./authenticate.ts";
import { incomingBody } from "./body.ts";
import { parseRange } from "./range.ts";
import { sendEmpty, sendStream, sendXml } from "./respond.ts";
import { invalidArgument, notImplemented, S3Error } from "./s3-error.ts";
import { decode, type S3Request } from "./s3-request.ts";
import { UPLOAD_ONCE } from "./url-signer.ts";

/** What an operation gets to work with. */
export interface S3Call {
  readonly store: FileStore;
  readonly request: S3Request;
  readonly who: Authenticated;
  readonly res: ServerResponse;
  /** The object or bucket addressed. */
  readonly uri: string;
}

/** PUT of a whole object, also by an upload URL. */
export async function putObject({ store, request, who, res, uri }: S3Call): Promise<void> {
  const body = incomingBody(request, who);
  const once = request.param(UPLOAD_ONCE) !== undefined;
  // A repeated upload is refused before its body is taken, when that is sure already.
  if (once && !sameContent(await store.head(uri), body.contentMd5, true)) throw alreadyUploaded();
  const options = {
    ...storedHeaders(request),
    etag: body.etag,
    ifAbsent: once || ifNoneMatch(request),
    ...(body.contentMd5 !== undefined && { contentMd5: body.contentMd5 }),
  };
  try {
    const { etag } = await store.put(uri, body.bytes, options);
    sendEmpty(res, 200, { etag: `"${etag}"` });
  } catch (error) {
    if (!once || !(error instanceof ObjectExistsError)) throw error;
    const head = await store.head(uri);
    if (head === undefined || !sameContent(head, body.contentMd5, false)) throw alreadyUploaded();
    sendEmpty(res, 200, { etag: `"${head.etag}"` });
  }
}

function alreadyUploaded(): S3Error {
  const message = "This upload URL was used already and the object has other content: ask for a new URL";
  return new S3Error(409, "ObjectAlreadyExists", message);
}

/** PUT with x-amz-copy-source. */
export async function copyObject({ store, request, res, uri }: S3Call): Promise<void> {
  const source = decode((request.header("x-amz-copy-source") ?? "").replace(/^\//, ""));
  if (source.includes("?versionId=")) throw notImplemented("Copying a version");
  const slash = source.indexOf("/");
  if (slash < 1) throw invalidArgument("x-amz-copy-source must be <bucket>/<key>");
  const from = objectUri(source.slice(0, slash), source.slice(slash + 1));
  const directive = request.header("x-amz-metadata-directive") ?? "COPY";
  if (directive === "REPLACE") {
    const stream = await store.stream(from);
    await store.put(uri, stream.body, { ...storedHeaders(request), etag: () => stream.etag });
  } else if (directive === "COPY") {
    await store.copy(from, uri);
  } else {
    throw invalidArgument("x-amz-metadata-directive must be COPY or REPLACE");
  }
  const head = await store.head(uri);
  sendXml(res, [
    "CopyObjectResult",
    [
      ["LastModified", head?.lastModified.toISOString()],
      ["ETag", `"${head?.etag}"`],
    ],
  ]);
}

/** GET, whole or a range. */
export async function getObject({ store, request, res, uri }: S3Call): Promise<void> {
  const range = parseRange(request.header("range"));
  // Whether a range can be satisfied depends on the size, so the object is opened first and cut afterwards.
  const suffix = range !== undefined && "last" in range;
  const head = suffix ? await store.stream(uri, { start: 0, end: 0 }) : undefined;
  await head?.close();
  const asked = suffix ? { start: Math.max(0, (head?.size ?? 0) - range.last) } : range;
  const stream = await store.stream(uri, asked);
  try {
    const conditional = checkConditions(request, stream);
    if (conditional) {
      await stream.close();
      sendEmpty(res, 304, objectHeaders(stream));
      return;
    }
    if (asked !== undefined && stream.start >= stream.size) {
      throw new S3Error(416, "InvalidRange", `The range begins beyond the object's ${stream.size} bytes`, {
        headers: { "content-range": `bytes */${stream.size}` },
      });
    }
  } catch (error) {
    await stream.close();
    throw error;
  }
  const headers = { ...objectHeaders(stream), ...answerOverrides(request) };
  if (asked === undefined) return sendStream(res, 200, headers, stream);
  const contentRange = `bytes ${stream.start}-${stream.end - 1}/${stream.size}`;
  return sendStream(res, 206, { ...headers, "content-range": contentRange }, stream);
}

export async function headObject({ store, request, res, uri }: S3Call): Promise<void> {
  const head = await store.head(uri);
  if (head === undefined) throw new S3Error(404, "NoSuchKey", "The object does not exist");
  if (checkConditions(request, head)) return sendEmpty(res, 304, objectHeaders(head));
  sendEmpty(res, 200, { ...objectHeaders(head), ...answerOverrides(request), "content-length": String(head.size) });
}

export async function deleteObject({ store, res, uri }: S3Call): Promise<void> {
  await store.delete([uri]);
  sendEmpty(res, 204);
}

/** Content type and user metadata as a request brings them. */
export function storedHeaders(request: S3Request): { contentType?: string; metadata?: Record<string, string> } {
  const contentType = request.header("content-type");
  const metadata: Record<string, string> = {};
  for (const name of request.headerNames) {
    if (name.startsWith("x-amz-meta-")) metadata[name.slice("x-amz-meta-".length)] = request.header(name) ?? "";
  }
  const size = Object.entries(metadata).reduce((sum, [name, value]) => sum + name.length + value.length, 0);
  if (size > 2048) throw new S3Error(400, "MetadataTooLarge", "User metadata may have 2 KiB in all");
  return { metadata, ...(contentType !== undefined && { contentType }) };
}

function sameContent(head: ObjectHead | undefined, md5: Uint8Array | undefined, absent: boolean): boolean {
  if (head === undefined) return absent;
  return md5 !== undefined && head.md5 !== undefined && Buffer.from(head.md5).equals(md5);
}

/** True when a write must not replace. */
export function ifNoneMatch(request: S3Request): boolean {
  if (request.header("if-match") !== undefined) throw notImplemented("If-Match on a PUT");
  const condition = request.header("if-none-match");
  if (condition !== undefined && condition !== "*") throw notImplemented("If-None-Match other than * on a PUT");
  return condition === "*";
}

/** True when the client has the object already; throws when it wants another version. */
function checkConditions(request: S3Request, head: ObjectHead): boolean {
  const names = (list: string) => list.split(",").map((etag) => etag.trim().replace(/^W\//, "").replaceAll('"', ""));
  const match = request.header("if-match");
  if (match !== undefined && match !== "*" && !names(match).includes(head.etag)) {
    throw new S3Error(412, "PreconditionFailed", "The object has another ETag");
  }
  const none = request.header("if-none-match");
  return none !== undefined && (none === "*" || names(none).includes(head.etag));
}

function objectHeaders(head: ObjectHead): Record<string, string> {
  const headers: Record<string, string> = {
    etag: `"${head.etag}"`,
    "last-modified": head.lastModified.toUTCString(),
    "accept-ranges": "bytes",
    "content-type": head.contentType ?? "binary/octet-stream",
    // Tasks choose content and type, and the console may share this origin: no object may act in its name.
    "content-security-policy": "sandbox allow-scripts allow-popups",
    "x-content-type-options": "nosniff",
  };
  for (const [name, value] of Object.entries(head.metadata)) headers[`x-amz-meta-${name}`] = value;
  return headers;
}

/** Headers a signed query may set on the answer. */
const OVERRIDES = ["content-type", "content-disposition", "content-language", "cache-control", "expires"] as const;

function answerOverrides(request: S3Request): Record<string, string> {
  const headers: Record<string, string> = {};
  for (const name of OVERRIDES) {
    const value = request.param(`response-${name}`);
    if (value !== undefined) headers[name] = value;
  }
  return headers;
}
