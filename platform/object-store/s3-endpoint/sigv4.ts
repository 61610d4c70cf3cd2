/**
 * AWS Signature Version 4, the arithmetic only: canonical request, signing key, signature. No I/O and no clock, so that
 * signing our URLs and checking everybody's requests share one text.
 */
import { createHash, createHmac } from "node:crypto";
import { uriEncode } from "../uri.ts";

export const ALGORITHM = "AWS4-HMAC-SHA256";
export const UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD";

/** What a signature is bound to besides the request. */
export interface CredentialScope {
  readonly accessKeyId: string;
  /** `YYYYMMDD` */
  readonly day: string;
  readonly region: string;
  readonly service: string;
}

/** The parts of a request that are signed. */
export interface SignableRequest {
  readonly method: string;
  /** Percent-encoded, exactly as on the wire. */
  readonly path: string;
  /** Decoded pairs, without X-Amz-Signature. */
  readonly query: readonly (readonly [string, string])[];
  /** Lower-case names in the order they are signed, with their values. */
  readonly headers: readonly (readonly [string, string])[];
  readonly payloadHash: string;
}

/** Computes the signature as lower-case hex. */
export function signature(
  request: SignableRequest,
  scope: CredentialScope,
  amzDate: string,
  signingKey: Buffer,
): string {
  const canonical = [
    request.method,
    request.path,
    canonicalQuery(request.query),
    ...request.headers.map(([name, value]) => `${name}:${value.trim().replace(/ +/g, " ")}`),
    "",
    request.headers.map(([name]) => name).join(";"),
    request.payloadHash,
  ].join("\n");
  // Node hands header bytes out as latin1, so this restores what the client has signed.
  const digest = createHash("sha256").update(canonical, "latin1").digest("hex");
  const toSign = [ALGORITHM, amzDate, scopeText(scope), digest].join("\n");
  return createHmac("sha256", signingKey).update(toSign).digest("hex");
}

/** The key for one day, region and service. */
export function deriveSigningKey(secretAccessKey: string, scope: CredentialScope): Buffer {
  let key: Buffer = Buffer.from(`AWS4${secretAccessKey}`);
  for (const part of [scope.day, scope.region, scope.service, "aws4_request"]) {
    key = createHmac("sha256", key).update(part).digest();
  }
  return key;
}

/** The scope as it is written in a string to sign, without the access key. */
export function scopeText(scope: CredentialScope): string {
  return `${scope.day}/${scope.region}/${scope.service}/aws4_request`;
}

/** `20260131T235959Z` */
export function toAmzDate(date: Date): string {
  return date.toISOString().replace(/[-:]|\.\d+/g, "");
}

/** The moment an `x-amz-date` names, `undefined` when it is malformed. */
export function parseAmzDate(text: string): Date | undefined {
  const parts = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(text);
  if (parts === null) return undefined;
  const date = new Date(`${parts[1]}-${parts[2]}-${parts[3]}T${parts[4]}:${parts[5]}:${parts[6]}Z`);
  return Number.isNaN(date.getTime()) ? undefined : date;
}

/** The query in canonical order and encoding. */
export function canonicalQuery(query: SignableRequest["query"]): string {
  return query
    .map(([name, value]) => [uriEncode(name), uriEncode(value)] as const)
    .sort((a, b) => compare(a[0], b[0]) || compare(a[1], b[1]))
    .map(([name, value]) => `${name}=${value}`)
    .join("&");
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
