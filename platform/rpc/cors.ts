/**
 * Which web pages may call us from a browser.
 *
 * Promise: an Origin is echoed (with credentials) only if it is this server's own host, a loopback page, or listed;
 * others get no CORS header and a refused preflight. Requests without an Origin are none of our business.
 */
import type { IncomingMessage, ServerResponse } from "node:http";

const allowedHeaders =
  "Accept, Authorization, Content-Type, Content-MD5, Connect-Protocol-Version, Connect-Timeout-Ms, Grpc-Timeout, X-Grpc-Web, X-Request-Id, X-User-Agent";
const exposedHeaders = "Grpc-Status, Grpc-Message, Grpc-Status-Details-Bin, X-Request-Id, X-Error-Slug, ETag";
const loopback = /^(localhost|127(\.\d{1,3}){3}|\[::1\])$/;

/** Sets the CORS headers; true when the request was a preflight and is answered. */
export function answerCors(req: IncomingMessage, res: ServerResponse, allowedOrigins: readonly string[]): boolean {
  const origin = req.headers.origin;
  if (origin === undefined) return false;
  const preflight = req.method === "OPTIONS" && req.headers["access-control-request-method"] !== undefined;
  const allowed = isAllowed(origin, hostOf(req), allowedOrigins);
  res.setHeader("vary", "Origin");
  if (allowed) {
    res.setHeader("access-control-allow-origin", origin);
    res.setHeader("access-control-allow-credentials", "true");
    res.setHeader("access-control-expose-headers", exposedHeaders);
  }
  if (!preflight) return false;
  if (allowed) {
    res.setHeader("access-control-allow-methods", "GET, HEAD, POST, PUT, DELETE, OPTIONS");
    res.setHeader("access-control-allow-headers", allowedHeaders);
    res.setHeader("access-control-max-age", "86400");
    res.writeHead(204).end();
  } else {
    res
      .writeHead(403, { "content-type": "text/plain" })
      .end(`origin ${JSON.stringify(origin)} may not call this server\n`);
  }
  return true;
}

export function isAllowed(origin: string, host: string | undefined, allowedOrigins: readonly string[]): boolean {
  if (allowedOrigins.includes(origin)) return true;
  if (!URL.canParse(origin)) return false;
  const url = new URL(origin);
  return (url.protocol === "http:" || url.protocol === "https:") && (url.host === host || loopback.test(url.hostname));
}

function hostOf(req: IncomingMessage): string | undefined {
  const authority = req.headers[":authority"];
  return typeof authority === "string" ? authority : req.headers.host;
}
