/**
 * Request bodies: streamed while their digests are computed, and refused at the last byte when one of them is not what
 * the client has announced. Whoever consumes the body must make its effect visible only after the end.
 */
import { createHash } from "node:crypto";
import { crc32 } from "node:zlib";
import type { Authenticated } from "./authenticate.ts";
import { notImplemented, S3Error } from "./s3-error.ts";
import type { S3Request } from "./s3-request.ts";

/** S3's limit of one PUT; larger objects come in parts. */
const MAX_PUT = 5 * 1024 ** 3;
/** Up to here the ETag is an MD5, as tools expect; beyond, hashing twice would halve the speed. */
const MD5_UP_TO = 1024 ** 2;

/** A body to be stored. */
export interface IncomingBody {
  readonly length: number;
  readonly contentMd5?: Uint8Array;
  readonly bytes: AsyncIterable<Uint8Array>;
  /** Where the ETag comes from; a function is to be asked after the last byte. */
  readonly etag: "md5" | (() => string);
}

/** Prepares the body of an authenticated request. */
export function incomingBody(request: S3Request, who: Authenticated): IncomingBody {
  const length = Number(request.header("content-length"));
  if (request.header("transfer-encoding") !== undefined || !Number.isSafeInteger(length) || length < 0) {
    throw new S3Error(411, "MissingContentLength", "The body must come with its Content-Length");
  }
  if (length > MAX_PUT) throw new S3Error(400, "EntityTooLarge", "More than 5 GiB must be uploaded in parts");
  const encoding = request.header("content-encoding");
  if (encoding !== undefined) throw notImplemented(`Content-Encoding ${encoding}`);
  const md5Text = request.header("content-md5");
  const contentMd5 = md5Text === undefined ? undefined : readDigest(md5Text, 16, "Content-MD5");
  const checks = checksums(request, who);
  const sha256 = checks.find((check) => check.name === "sha256");
  return {
    length,
    ...(contentMd5 !== undefined && { contentMd5 }),
    bytes: checked(request, length, checks),
    etag: contentMd5 !== undefined || length <= MD5_UP_TO ? "md5" : etagOf(sha256),
  };
}

/** Marked, so that no tool takes it for an MD5. */
function etagOf(sha256: Check | undefined): IncomingBody["etag"] {
  return sha256 === undefined ? "md5" : () => `${sha256.digest().toString("hex", 0, 16)}-sha256`;
}

/** Reads a whole small body, digests checked. */
export async function readBody(request: S3Request, who: Authenticated, maxBytes: number): Promise<string> {
  const body = incomingBody(request, who);
  if (body.length > maxBytes) {
    throw new S3Error(400, "MaxMessageLengthExceeded", `The body may have ${maxBytes} bytes at most`);
  }
  const chunks: Uint8Array[] = [];
  for await (const chunk of body.bytes) chunks.push(chunk);
  const bytes = Buffer.concat(chunks);
  if (body.contentMd5 !== undefined && !createHash("md5").update(bytes).digest().equals(body.contentMd5)) {
    throw new S3Error(400, "BadDigest", "Content-MD5 is not the MD5 of the body received");
  }
  return bytes.toString("utf8");
}

interface Check {
  readonly name: "sha256" | "sha1" | "crc32";
  readonly announced: Uint8Array;
  readonly code: string;
  update(chunk: Uint8Array): void;
  digest(): Buffer;
}

function checksums(request: S3Request, who: Authenticated): Check[] {
  const checks: Check[] = [];
  if (who.payloadSha256 !== undefined) {
    checks.push(hashCheck("sha256", Buffer.from(who.payloadSha256, "hex"), "XAmzContentSHA256Mismatch"));
  }
  for (const name of request.headerNames) {
    if (!name.startsWith("x-amz-checksum-") || name === "x-amz-checksum-mode") continue;
    const kind = name.slice("x-amz-checksum-".length);
    const text = request.header(name) ?? "";
    if (kind === "sha256") checks.push(hashCheck("sha256", readDigest(text, 32, name), "BadDigest"));
    else if (kind === "sha1") checks.push(hashCheck("sha1", readDigest(text, 20, name), "BadDigest"));
    else if (kind === "crc32") checks.push(crcCheck(readDigest(text, 4, name)));
    else throw notImplemented(`The checksum ${kind}`);
  }
  return checks;
}

function hashCheck(name: "sha256" | "sha1", announced: Uint8Array, code: string): Check {
  const hash = createHash(name);
  let digest: Buffer | undefined;
  const finish = () => {
    digest ??= hash.digest();
    return digest;
  };
  return { name, announced, code, update: (chunk) => void hash.update(chunk), digest: finish };
}

function crcCheck(announced: Uint8Array): Check {
  let value = 0;
  return {
    name: "crc32",
    announced,
    code: "BadDigest",
    update(chunk) {
      value = crc32(chunk, value);
    },
    digest() {
      const digest = Buffer.alloc(4);
      digest.writeUInt32BE(value);
      return digest;
    },
  };
}

async function* checked(request: S3Request, length: number, checks: readonly Check[]): AsyncGenerator<Uint8Array> {
  let received = 0;
  // Destroying the request on an early return would take the connection, and our answer, with it.
  for await (const chunk of request.message.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    received += chunk.length;
    for (const check of checks) check.update(chunk);
    yield chunk;
  }
  if (received !== length) {
    throw new S3Error(400, "IncompleteBody", `The body ended after ${received} of ${length} bytes`);
  }
  for (const check of checks) {
    if (check.digest().equals(check.announced)) continue;
    throw new S3Error(400, check.code, `The announced ${check.name} is not that of the body received`);
  }
}

function readDigest(base64: string, bytes: number, what: string): Buffer {
  const digest = Buffer.from(base64, "base64");
  if (digest.length === bytes && digest.toString("base64") === base64) return digest;
  throw new S3Error(400, "InvalidDigest", `${what} is not the base64 of ${bytes} bytes`);
}
