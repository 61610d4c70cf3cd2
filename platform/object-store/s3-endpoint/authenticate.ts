/**
 * Who asks, and is it what they signed? Checks both forms of Signature Version 4: the Authorization header and the
 * presigned query. A request that passes was made by the holder of a known key, for this host, path, query, method
 * and, but for unsigned payloads of presigned URLs, for this body (the body is checked while it is read).
 */
import { timingSafeEqual } from "node:crypto";
import { MAX_SIGNED_SECONDS } from "../object-store.ts";
import { accessDenied, S3Error } from "./s3-error.ts";
import type { S3Request } from "./s3-request.ts";
import {
  ALGORITHM,
  type CredentialScope,
  deriveSigningKey,
  parseAmzDate,
  signature,
  UNSIGNED_PAYLOAD,
} from "./sigv4.ts";

/** A key pair of a client. */
export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

/** Finds a client's secret by its access key. */
export type CredentialLookup = (accessKeyId: string) => S3Credentials | undefined;

export interface Authenticated {
  readonly accessKeyId: string;
  /** SHA-256 the body must have; absent when a presigned URL leaves it open. */
  readonly payloadSha256?: string;
}

const SKEW_MS = 15 * 60 * 1000;
const CACHED_KEYS = 64;

/** Makes the checker; it keeps the day's signing keys, which cost four HMACs each. */
export function authenticator(lookup: CredentialLookup, now: () => Date): (request: S3Request) => Authenticated {
  const keys = new Map<string, Buffer>();
  return (request) => {
    const claim = readClaim(request);
    checkTime(claim, now());
    const credentials = lookup(claim.scope.accessKeyId);
    if (credentials === undefined) {
      throw new S3Error(403, "InvalidAccessKeyId", "The access key is not known here");
    }
    checkCoverage(request, claim);
    const expected = signature(
      {
        method: request.method,
        path: request.rawPath,
        query: request.query.filter(([name]) => name !== "X-Amz-Signature"),
        headers: claim.signedHeaders.map((name) => [name, request.header(name) ?? ""] as const),
        payloadHash: claim.payloadHash,
      },
      claim.scope,
      claim.amzDate,
      signingKey(credentials.secretAccessKey, claim.scope),
    );
    if (!timingSafeEqual(Buffer.from(expected, "hex"), Buffer.from(claim.signature, "hex"))) {
      throw new S3Error(
        403,
        "SignatureDoesNotMatch",
        "The signature is not the one computed here: check the secret key, and that nothing alters the request",
      );
    }
    return {
      accessKeyId: claim.scope.accessKeyId,
      ...(claim.payloadHash !== UNSIGNED_PAYLOAD && { payloadSha256: claim.payloadHash }),
    };
  };

  function signingKey(secret: string, scope: CredentialScope): Buffer {
    const name = JSON.stringify([secret, scope.day, scope.region, scope.service]);
    let key = keys.get(name);
    if (key === undefined) {
      key = deriveSigningKey(secret, scope);
      if (keys.size >= CACHED_KEYS) keys.clear();
      keys.set(name, key);
    }
    return key;
  }
}

/** What a request says about its own signature, well-formed but not yet believed. */
interface Claim {
  readonly scope: CredentialScope;
  readonly amzDate: string;
  readonly date: Date;
  readonly expiresInSeconds?: number;
  readonly signedHeaders: readonly string[];
  readonly signature: string;
  readonly payloadHash: string;
}

function readClaim(request: S3Request): Claim {
  const authorization = request.header("authorization");
  const presigned = request.query.some(([name]) => name === "X-Amz-Signature");
  if (authorization !== undefined && presigned) {
    throw new S3Error(400, "InvalidArgument", "Only one way of signing is allowed: Authorization header or query");
  }
  if (request.header("x-amz-security-token") ?? request.param("X-Amz-Security-Token")) {
    throw new S3Error(400, "InvalidToken", "Session tokens are not issued here: sign with the static keys");
  }
  if (authorization !== undefined) return readHeader(request, authorization);
  if (presigned) return readQuery(request);
  throw accessDenied("The request is not signed: anonymous access is not allowed");
}

function readHeader(request: S3Request, authorization: string): Claim {
  const malformed = (what: string) =>
    new S3Error(400, "AuthorizationHeaderMalformed", `The Authorization header is not usable: ${what}`);
  if (!authorization.startsWith(`${ALGORITHM} `)) throw malformed(`only ${ALGORITHM} is supported`);
  const fields = new Map<string, string>();
  for (const part of authorization.slice(ALGORITHM.length + 1).split(",")) {
    const equals = part.indexOf("=");
    fields.set(part.slice(0, equals).trim(), part.slice(equals + 1).trim());
  }
  const amzDate = request.header("x-amz-date") ?? "";
  const payloadHash = request.header("x-amz-content-sha256");
  if (payloadHash === undefined) throw new S3Error(400, "InvalidRequest", "The header x-amz-content-sha256 is missing");
  if (payloadHash.startsWith("STREAMING-")) {
    throw new S3Error(501, "NotImplemented", `${payloadHash} is not supported here: send the body with its SHA-256`);
  }
  if (!/^[0-9a-f]{64}$/.test(payloadHash)) {
    throw new S3Error(400, "InvalidRequest", "x-amz-content-sha256 must be the hex SHA-256 of the body here");
  }
  return {
    scope: readScope(fields.get("Credential") ?? "", amzDate, malformed),
    amzDate,
    date: readDate(amzDate),
    signedHeaders: readSignedHeaders(fields.get("SignedHeaders") ?? "", malformed),
    signature: readSignature(fields.get("Signature") ?? "", malformed),
    payloadHash,
  };
}

function readQuery(request: S3Request): Claim {
  const malformed = (what: string) =>
    new S3Error(400, "AuthorizationQueryParametersError", `The signed query is not usable: ${what}`);
  if (request.param("X-Amz-Algorithm") !== ALGORITHM) throw malformed(`X-Amz-Algorithm must be ${ALGORITHM}`);
  const amzDate = request.param("X-Amz-Date") ?? "";
  const expires = request.param("X-Amz-Expires") ?? "";
  const expiresInSeconds = Number(expires);
  if (!/^\d{1,6}$/.test(expires) || expiresInSeconds < 1 || expiresInSeconds > MAX_SIGNED_SECONDS) {
    throw malformed(`X-Amz-Expires must be between 1 and ${MAX_SIGNED_SECONDS} seconds`);
  }
  const payloadHash = request.header("x-amz-content-sha256") ?? request.param("X-Amz-Content-Sha256");
  if (payloadHash !== undefined && payloadHash !== UNSIGNED_PAYLOAD && !/^[0-9a-f]{64}$/.test(payloadHash)) {
    throw malformed("the payload hash must be a hex SHA-256 or UNSIGNED-PAYLOAD");
  }
  return {
    scope: readScope(request.param("X-Amz-Credential") ?? "", amzDate, malformed),
    amzDate,
    date: readDate(amzDate),
    expiresInSeconds,
    signedHeaders: readSignedHeaders(request.param("X-Amz-SignedHeaders") ?? "", malformed),
    signature: readSignature(request.param("X-Amz-Signature") ?? "", malformed),
    payloadHash: payloadHash ?? UNSIGNED_PAYLOAD,
  };
}

function readScope(credential: string, amzDate: string, malformed: (what: string) => S3Error): CredentialScope {
  const parts = credential.split("/");
  const [accessKeyId, day, region, service, terminator] = parts.slice(-5);
  if (parts.length !== 5 || !accessKeyId || !day || !region || service !== "s3" || terminator !== "aws4_request") {
    throw malformed("Credential must be <access key>/<day>/<region>/s3/aws4_request");
  }
  if (day !== amzDate.slice(0, 8)) throw malformed("the credential's day is not the request's day");
  return { accessKeyId, day, region, service };
}

function readDate(amzDate: string): Date {
  const date = parseAmzDate(amzDate);
  if (date === undefined) throw accessDenied("A signed request needs a date (x-amz-date) like 20260131T235959Z");
  return date;
}

function readSignedHeaders(text: string, malformed: (what: string) => S3Error): string[] {
  const names = text.split(";");
  const ordered = names.every((name, i) => name !== "" && (i === 0 || (names[i - 1] as string) < name));
  if (!ordered || text !== text.toLowerCase()) throw malformed("SignedHeaders must be lower-case, sorted and unique");
  return names;
}

function readSignature(text: string, malformed: (what: string) => S3Error): string {
  if (!/^[0-9a-f]{64}$/.test(text)) throw malformed("the signature must be 64 hex digits");
  return text;
}

function checkTime(claim: Claim, now: Date): void {
  const age = now.getTime() - claim.date.getTime();
  if (claim.expiresInSeconds === undefined) {
    if (Math.abs(age) <= SKEW_MS) return;
    throw new S3Error(
      403,
      "RequestTimeTooSkewed",
      `The request's time ${claim.amzDate} and the server's ${now.toISOString()} differ too much: set the clock`,
    );
  }
  if (age < -SKEW_MS) throw accessDenied("Request is not valid yet");
  if (age > claim.expiresInSeconds * 1000) throw accessDenied("Request has expired");
}

/** Nothing that changes what the request does may be added by someone who did not sign it. */
function checkCoverage(request: S3Request, claim: Claim): void {
  const signed = new Set(claim.signedHeaders);
  if (!signed.has("host")) throw accessDenied("The host header must be signed");
  for (const name of request.headerNames) {
    if (name.startsWith("x-amz-") && !signed.has(name)) throw accessDenied(`The header ${name} must be signed`);
  }
  for (const name of claim.signedHeaders) {
    if (request.header(name) === undefined) throw accessDenied(`The signed header ${name} is missing`);
  }
}
