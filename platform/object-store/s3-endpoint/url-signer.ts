/**
 * Upload and download URLs of the file store: presigned requests to the embedded endpoint. The signature covers method,
 * host, path, every query parameter and the named headers, so a URL works for one object until it expires, and for
 * nothing else.
 *
 * Upload URLs carry a marker that makes the endpoint refuse to replace an object: a URL bound to a content may be
 * used again with that content (a client's retry), a URL without binding works once.
 */
import type { UrlSigner } from "../file/index.ts";
import { MAX_SIGNED_SECONDS, MAX_UPLOAD_SECONDS } from "../object-store.ts";
import { attachment, checkLife } from "../signed-url.ts";
import { parseObjectUri, uriEncodePath } from "../uri.ts";
import type { S3Credentials } from "./authenticate.ts";
import {
  ALGORITHM,
  canonicalQuery,
  deriveSigningKey,
  scopeText,
  signature,
  toAmzDate,
  UNSIGNED_PAYLOAD,
} from "./sigv4.ts";

/** The marker of {@link urlSigner}'s upload URLs. */
export const UPLOAD_ONCE = "flyte-upload";

export interface UrlSignerOptions {
  /** Origin at which clients reach the endpoint, e.g. `http://127.0.0.1:8642`; asked for each URL. */
  readonly baseUrl: () => string;
  /** The key to sign with; the endpoint must know it. */
  readonly credentials: S3Credentials;
  readonly region?: string;
  readonly now?: () => Date;
}

/** Makes the signer for `openFileStore`. */
export function urlSigner(options: UrlSignerOptions): UrlSigner {
  const { credentials, region = "us-east-1", now = () => new Date() } = options;

  function presign(
    method: string,
    uri: string,
    expiresInSeconds: number,
    headers: Readonly<Record<string, string>>,
    parameters: readonly (readonly [string, string])[],
  ): { url: string; expiresAt: Date } {
    const base = new URL(options.baseUrl());
    const { bucket, key } = parseObjectUri(uri);
    const signedAt = now();
    const amzDate = toAmzDate(signedAt);
    const scope = { accessKeyId: credentials.accessKeyId, day: amzDate.slice(0, 8), region, service: "s3" };
    const path = `/${bucket}/${uriEncodePath(key)}`;
    const signed = Object.entries({ ...headers, host: base.host }).sort(([a], [b]) => (a < b ? -1 : 1));
    const query = [
      ...parameters,
      ["X-Amz-Algorithm", ALGORITHM],
      ["X-Amz-Credential", `${scope.accessKeyId}/${scopeText(scope)}`],
      ["X-Amz-Date", amzDate],
      ["X-Amz-Expires", String(expiresInSeconds)],
      ["X-Amz-SignedHeaders", signed.map(([name]) => name).join(";")],
    ] as const;
    const hex = signature(
      { method, path, query, headers: signed, payloadHash: UNSIGNED_PAYLOAD },
      scope,
      amzDate,
      deriveSigningKey(credentials.secretAccessKey, scope),
    );
    return {
      url: `${base.origin}${path}?${canonicalQuery(query)}&X-Amz-Signature=${hex}`,
      expiresAt: new Date(Math.floor(signedAt.getTime() / 1000 + expiresInSeconds) * 1000),
    };
  }

  return {
    upload(uri, { expiresInSeconds, contentMd5, contentType }) {
      checkLife(expiresInSeconds, MAX_UPLOAD_SECONDS);
      const headers = {
        ...(contentMd5 !== undefined && { "content-md5": Buffer.from(contentMd5).toString("base64") }),
        ...(contentType !== undefined && { "content-type": contentType }),
      };
      const { url, expiresAt } = presign("PUT", uri, expiresInSeconds, headers, [[UPLOAD_ONCE, "once"]]);
      return { url, expiresAt, headers: titleCase(headers) };
    },
    download(uri, { expiresInSeconds, contentType, fileName }) {
      checkLife(expiresInSeconds, MAX_SIGNED_SECONDS);
      const parameters: [string, string][] = [];
      if (contentType !== undefined) parameters.push(["response-content-type", contentType]);
      if (fileName !== undefined) parameters.push(["response-content-disposition", attachment(fileName)]);
      return presign("GET", uri, expiresInSeconds, {}, parameters);
    },
  };
}

function titleCase(headers: Readonly<Record<string, string>>): Record<string, string> {
  const names: Readonly<Record<string, string>> = { "content-md5": "Content-MD5", "content-type": "Content-Type" };
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [names[name] ?? name, value]));
}
