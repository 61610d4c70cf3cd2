/**
 * Addresses of objects: `s3://<bucket>/<key>`, with the key raw (not percent-encoded), as the SDK writes them.
 *
 * Keys are any well-formed Unicode text of at most 1024 UTF-8 bytes in non-empty segments divided by `/`; a trailing
 * slash is allowed (folder markers of other tools). Refused are the keys that could mean another place once a path or
 * a URL is made of them (`.`, `..`, a leading or a double slash) and characters XML cannot carry.
 */
import { InvalidKeyError } from "./errors.ts";

/** Most bytes a key may have, as in S3. */
export const MAX_KEY_BYTES = 1024;

const BUCKET = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are the characters we refuse
const NOT_IN_XML = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/;

/** Where an object lives. */
export interface ObjectAddress {
  readonly bucket: string;
  readonly key: string;
}

/**
 * Splits an object's URI, refusing every address that is not safe to store.
 *
 * @example parseObjectUri("s3://flyte-data/p/d/run/inputs.pb") // { bucket: "flyte-data", key: "p/d/run/inputs.pb" }
 */
export function parseObjectUri(uri: string): ObjectAddress {
  const address = parsePrefixUri(uri);
  const reason = whyInvalidKey(address.key);
  if (reason !== undefined) throw new InvalidKeyError(uri, reason);
  return address;
}

/** Splits a list prefix: like an object's URI, but the key may be empty or end anywhere. */
export function parsePrefixUri(uri: string): ObjectAddress {
  if (!uri.startsWith("s3://")) throw new InvalidKeyError(uri, "it must begin with s3://");
  const slash = uri.indexOf("/", 5);
  const bucket = slash < 0 ? uri.slice(5) : uri.slice(5, slash);
  const key = slash < 0 ? "" : uri.slice(slash + 1);
  if (!isBucketName(bucket)) {
    throw new InvalidKeyError(uri, "a bucket has 3 to 63 lower-case letters, digits, dots and hyphens");
  }
  if (!key.isWellFormed() || NOT_IN_XML.test(key))
    throw new InvalidKeyError(uri, "it holds a character no key may have");
  return { bucket, key };
}

/** The URI of a key in a bucket. */
export function objectUri(bucket: string, key: string): string {
  return `s3://${bucket}/${key}`;
}

/** Appends path segments to a URI with exactly one slash between them. */
export function joinUri(base: string, ...segments: readonly string[]): string {
  let out = base;
  for (const segment of segments) out = `${out.replace(/\/+$/, "")}/${segment.replace(/^\/+/, "")}`;
  return out;
}

/** Percent-encoding as AWS wants it: all but unreserved characters. */
export function uriEncode(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);
}

/** A key as a URL path: encoded but for its slashes. */
export function uriEncodePath(key: string): string {
  return key.split("/").map(uriEncode).join("/");
}

/** True for names S3 allows as a bucket. */
export function isBucketName(name: string): boolean {
  return BUCKET.test(name) && !name.includes("..");
}

/** Says why a key is refused, or `undefined` when it is fine. */
export function whyInvalidKey(key: string): string | undefined {
  if (key === "") return "it has no key after the bucket";
  if (!key.isWellFormed()) return "the key is not well-formed Unicode";
  if (Buffer.byteLength(key) > MAX_KEY_BYTES) return `the key is longer than ${MAX_KEY_BYTES} bytes`;
  if (NOT_IN_XML.test(key)) return "the key holds a control character";
  const segments = key.split("/");
  for (const [index, segment] of segments.entries()) {
    if (segment === "." || segment === "..") return `the key has a ${JSON.stringify(segment)} segment`;
    if (segment === "" && (index === 0 || index < segments.length - 1)) {
      return index === 0 ? "the key begins with a slash" : "the key has an empty segment";
    }
  }
  return undefined;
}
