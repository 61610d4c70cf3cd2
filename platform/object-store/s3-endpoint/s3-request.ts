/**
 * One request as the endpoint sees it: where it points, what it asks, all of it decoded once and kept raw where the
 * signature needs it raw.
 */
import type { IncomingMessage } from "node:http";
import { S3Error } from "./s3-error.ts";

export interface S3Request {
  readonly message: IncomingMessage;
  readonly method: string;
  /** The path exactly as received. */
  readonly rawPath: string;
  readonly bucket: string;
  /** Empty when the bucket itself is meant. */
  readonly key: string;
  readonly query: readonly (readonly [string, string])[];
  /** The value of a query parameter that may be given once. */
  param(name: string): string | undefined;
  /** A header, repeated ones joined as in HTTP. */
  header(name: string): string | undefined;
  readonly headerNames: readonly string[];
}

/** Path and query of a request URL, undecoded. */
export function splitTarget(url: string): { path: string; query: string } {
  const mark = url.indexOf("?");
  return mark < 0 ? { path: url, query: "" } : { path: url.slice(0, mark), query: url.slice(mark + 1) };
}

/** Decodes a request, refusing what cannot be decoded to valid UTF-8. */
export function parseRequest(message: IncomingMessage): S3Request {
  const { path, query: rawQuery } = splitTarget(message.url ?? "/");
  const slash = path.indexOf("/", 1);
  const query = parseQuery(rawQuery);
  const headers = parseHeaders(message);
  return {
    message,
    method: message.method ?? "GET",
    rawPath: path,
    bucket: decode(slash < 0 ? path.slice(1) : path.slice(1, slash)),
    key: slash < 0 ? "" : decode(path.slice(slash + 1)),
    query,
    param(name) {
      const values = query.filter((pair) => pair[0] === name);
      if (values.length > 1) throw new S3Error(400, "InvalidArgument", `The query has ${name} more than once`);
      return values[0]?.[1];
    },
    header: (name) => headers.get(name),
    headerNames: [...headers.keys()],
  };
}

/** Percent-decoding that refuses what is not UTF-8. */
export function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch (cause) {
    throw new S3Error(400, "InvalidURI", "The address is not percent-encoded UTF-8", { cause });
  }
}

function parseQuery(raw: string): (readonly [string, string])[] {
  return raw
    .split("&")
    .filter((pair) => pair !== "")
    .map((pair) => {
      const equals = pair.indexOf("=");
      // A plus is a space here, as S3 and the clients' form encoders have it; a real plus arrives as %2B.
      const [name, value] = equals < 0 ? [pair, ""] : [pair.slice(0, equals), pair.slice(equals + 1)];
      return [decode(name.replaceAll("+", " ")), decode(value.replaceAll("+", " "))] as const;
    });
}

function parseHeaders(message: IncomingMessage): Map<string, string> {
  const headers = new Map<string, string>();
  for (let i = 0; i + 1 < message.rawHeaders.length; i += 2) {
    const name = (message.rawHeaders[i] as string).toLowerCase();
    const value = (message.rawHeaders[i + 1] as string).trim();
    const earlier = headers.get(name);
    headers.set(name, earlier === undefined ? value : `${earlier},${value}`);
  }
  // HTTP/2 carries the host in a pseudo header; it is signed as `host`.
  const authority = headers.get(":authority");
  if (authority !== undefined && !headers.has("host")) headers.set("host", authority);
  return headers;
}
